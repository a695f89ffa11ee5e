"""Models, versions, concepts, identifiers, jobs, events, families."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("scope", sa.String, nullable=False),
        sa.Column("memory", sa.String, nullable=False),
        sa.Column("worn_by", sa.String, nullable=False),
        sa.Column("base", sa.JSON, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.UniqueConstraint("owner", "name"),
    )
    op.create_table(
        "versions",
        sa.Column("model", sa.String, sa.ForeignKey("models.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("concepts", sa.JSON, nullable=False),
        sa.Column("weights", sa.String, nullable=True),
        sa.Column("retention", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "concepts",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("model", sa.String, sa.ForeignKey("models.id"), nullable=False, index=True),
        sa.Column("identifier", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=True),
        sa.Column("category", sa.String, nullable=False),
        sa.Column("method", sa.String, nullable=False),
        sa.Column("folder", sa.String, nullable=False),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("lesson", sa.Integer, nullable=False),
        sa.Column("photos", sa.JSON, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "identifiers",
        sa.Column("model", sa.String, sa.ForeignKey("models.id"), primary_key=True),
        sa.Column("word", sa.String, primary_key=True),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("taken", sa.Float, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("model", sa.String, sa.ForeignKey("models.id"), nullable=True, index=True),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("stage", sa.String, nullable=True),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("loss", sa.Float, nullable=True),
        sa.Column("error", sa.String, nullable=True),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON, nullable=True),
        sa.Column("worker", sa.String, nullable=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("started", sa.Float, nullable=True),
        sa.Column("finished", sa.Float, nullable=True),
    )
    op.create_table(
        "events",
        sa.Column("job", sa.String, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_table(
        "families",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )


def downgrade() -> None:
    for name in ("families", "events", "jobs", "identifiers", "concepts", "versions", "models"):
        op.drop_table(name)
