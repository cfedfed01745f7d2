"""The operator's commands, all under `flask`: migrate, sites, keys, moderators, replay."""

from __future__ import annotations

from pathlib import Path

import click
from flask import Flask, current_app
from flask.cli import with_appcontext
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from . import auth, config, database, migrations, replay
from .errors import Problem
from .tables import api_keys, moderators, sites


class ClearCommand(click.Command):
    """A command that tells what went wrong in one sentence, with exit code 1."""

    def invoke(self, context: click.Context) -> None:
        """Run the command inside the application's context."""
        try:
            with_appcontext(super().invoke)(context)
        except (ValueError, OSError, Problem) as error:
            raise click.ClickException(str(error)) from error
        except OperationalError as error:
            raise click.ClickException(f"The database does not answer: {' '.join(str(error.orig).split())}") from error


class ClearGroup(click.Group):
    """A group of such commands."""

    command_class = ClearCommand


sites_group = ClearGroup("sites", help="The sites whose comments this service keeps.")
keys_group = ClearGroup("keys", help="The sites' keys.")
moderators_group = ClearGroup("moderators", help="The people at the desk.")


@click.command("migrate", cls=ClearCommand)
def migrate() -> None:
    """Bring the database's tables up to date. Safe to run twice, or twice at once."""
    migrations.upgrade(current_app.extensions["engine"])
    click.echo("The database is up to date.")


@sites_group.command("add")
@click.argument("name")
@click.option("--rejects-automatically", is_flag=True,
              help="Reject without a person what is over the model's threshold for that.")
def add_site(name: str, rejects_automatically: bool) -> None:
    """Add a site called NAME."""
    auth.add_site(name, rejects_automatically)
    click.echo(f"Added {name}. Make its key with: flask keys add {name!r}")


@sites_group.command("list")
def list_sites() -> None:
    """List the sites."""
    with database.reading() as connection:
        for row in connection.execute(select(sites).order_by(sites.c.name)):
            click.echo(f"{row.name}\t{'rejects automatically' if row.rejects_automatically else 'a person rejects'}")


@sites_group.command("set")
@click.argument("name")
@click.option("--rejects-automatically/--a-person-rejects", required=True,
              help="Whether blatant comments are rejected without a person.")
def set_site(name: str, rejects_automatically: bool) -> None:
    """Change the site called NAME; comments that are decided from now on follow it."""
    auth.set_site(_site(name), rejects_automatically)
    click.echo(f"Changed {name}.")


@keys_group.command("add")
@click.argument("site")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(list(auth.SCOPES)),
              help="What the key may do; may be given several times. Default: everything.")
def add_key(site: str, scopes: tuple[str, ...]) -> None:
    """Make a key for SITE and print it; it is never shown again."""
    click.echo(auth.add_key(_site(site), scopes or tuple(auth.SCOPES)))


@keys_group.command("list")
def list_keys() -> None:
    """List the keys, without their secrets."""
    with database.reading() as connection:
        for row in connection.execute(select(api_keys, sites.c.name).join(sites).order_by(api_keys.c.created_at)):
            state = f"revoked {row.revoked_at:%Y-%m-%d}" if row.revoked_at else "valid"
            click.echo(f"{row.id}\t{row.name}\t{state}\t{' '.join(row.scopes)}")


@keys_group.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke the key with this id (the part between the underscores); it stops working at once."""
    auth.revoke_key(key_id)
    click.echo(f"Revoked {key_id}.")


@moderators_group.command("add")
@click.argument("email")
@click.password_option(help="Asked for when not given.")
def add_moderator(email: str, password: str) -> None:
    """Add a moderator who signs in with EMAIL."""
    auth.add_moderator(email, password)
    click.echo(f"Added {email}.")


@moderators_group.command("list")
def list_moderators() -> None:
    """List the moderators."""
    with database.reading() as connection:
        for email in connection.scalars(select(moderators.c.email).order_by(moderators.c.email)):
            click.echo(email)


@moderators_group.command("password")
@click.argument("email")
@click.password_option(help="Asked for when not given.")
def set_password(email: str, password: str) -> None:
    """Give the moderator who signs in with EMAIL a new password; their sessions end."""
    auth.set_password(email, password)
    click.echo(f"Changed the password of {email}.")


@moderators_group.command("remove")
@click.argument("email")
def remove_moderator(email: str) -> None:
    """Remove the moderator who signs in with EMAIL, at once; what they decided stays."""
    auth.remove_moderator(email)
    click.echo(f"Removed {email}.")


@click.command("replay", cls=ClearCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", help="The service's address. Default: the one that `make run` started.")
@click.option("--key", help="A site's key. Default: the one that `make run` made.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many comments. Default: all.")
@click.option("--connections", type=click.IntRange(1, 64), default=8, show_default=True,
              help="How many comments are under way at a time.")
def replay_command(files: tuple[Path, ...], url: str | None, key: str | None, limit: int | None,
                   connections: int) -> None:
    """Post the comments of FILES to a running service, and tell what became of them.

    FILES hold one JSON object a line (.jsonl or .jsonl.gz), with `comment` or `text`, and where known `name`, `email`
    and `website`. Lines are taken from the files in turn.
    """
    if url is None or key is None:
        facts = config.first_run()
        url, key = url or facts.get("url"), key or facts.get("site_key")
        if url is None or key is None:
            raise ValueError("Say --url and --key, or start the service here with `make run` first.")
    report = replay.run(replay.read(files, limit), url, key, connections)
    click.echo(report.as_text())
    if not report.is_whole():
        raise click.ClickException("Not every comment was accepted and decided exactly once.")


def _site(name: str) -> str:
    site_id = auth.find_site(name)
    if site_id is None:
        raise click.ClickException(f"There is no site called {name!r}; `flask sites list` shows them.")
    return site_id


def init_app(app: Flask) -> None:
    """Add the commands."""
    for command in (migrate, sites_group, keys_group, moderators_group, replay_command):
        app.cli.add_command(command)
