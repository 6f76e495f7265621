"""${message}.

A migration runs in one transaction, before the new code starts and while the old code may still
serve. So it must leave the old code working: add before you remove, in two releases; give a new
column a default; and do not rewrite or lock a large table for longer than a request may wait.

When it begins, env.py has locked every table of the models against everybody, so that no writer and
no migration wait for each other: lock nothing that others can have without a table of these. A table
or view that the models know no longer is to be added to its TABLES.
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
