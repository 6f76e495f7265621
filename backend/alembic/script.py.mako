"""${message}.

A migration runs in one transaction, before the new code starts and while the old code may still
serve. So it must not break the old code: add before you remove, in two releases; give a new
column a default; and do not rewrite or lock a large table for longer than a request may wait.

Before the migration begins, env.py locks every table of the models exclusively, so that it never
deadlocks with a writer. Lock nothing else that others can lock without one of these tables. If the
models no longer have a table or view that an earlier schema has, add it to TABLES in env.py.
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
