"""${message}.

A migration runs in one transaction, before the new code starts and while the old code may still
serve. So it must leave the old code working: add before you remove, in two releases; give a new
column a default; and do not rewrite or lock a large table for longer than a request may wait.
"""

import sqlalchemy as sa
${imports if imports else ""}
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
