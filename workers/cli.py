"""The command line: `sipherd run`, `check`, `ctl`, `keygen`, `db`, `table check`."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.errors import ConfigError, SipherdError
from workers.config import load, runtime_dir
from workers.control_client import ask
from workers.inheriting import TRIAL, VARIABLE
from workers.tables import LOCATION

ConfigFile = Annotated[Path, typer.Option("-c", "--config", help="The configuration file.")]
DEFAULT_FILE = Path("conf/sipherd.toml")
_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)

app = typer.Typer(
    help="A SIP registrar and stateful proxy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
table_app = typer.Typer(help="Look after table files.", no_args_is_help=True)
app.add_typer(table_app, name="table")
db_app = typer.Typer(help="Look after databases.", no_args_is_help=True)
app.add_typer(db_app, name="db")


def main() -> None:
    """Run a command; what goes wrong on purpose is a sentence and exit status 1."""
    try:
        app()
    except ConfigError as error:
        _give_back(" ".join(error.mistakes))
        _fail(*error.mistakes)
    except SipherdError as error:
        _give_back(str(error))
        _fail(f"sipherd: {str(error).removesuffix('.')}.")
    except OSError as error:
        _give_back(str(error))
        _fail(f"sipherd: {error.filename or 'the system'}: {os.strerror(error.errno or 0)}.")
    except MemoryError:
        _give_back("the system gives no memory")
        _fail("sipherd: the system gives no memory.")
    except SystemError as error:
        _give_back(repr(error))
        _fail(f"sipherd: the interpreter failed, as it does for want of memory: {error}.")
    except BaseException as error:
        _give_back(repr(error))
        raise


def _give_back(reason: str) -> None:
    """Where this program was to take over from a running one and fails: let that one go on."""
    if VARIABLE in os.environ and TRIAL not in os.environ:
        from workers.start import give_back

        give_back(reason)


def _fail(*sentences: str) -> None:
    for sentence in sentences:
        print(sentence, file=sys.stderr)
    raise SystemExit(1)


@app.command()
def run(config: ConfigFile = DEFAULT_FILE) -> None:
    """Run the server in the foreground."""
    from workers.start import kept_config, start

    raise SystemExit(start(kept_config() or load(config)))


@app.command()
def check(config: ConfigFile = DEFAULT_FILE) -> None:
    """Check a configuration and the policy it names: a sentence per mistake, exit status 1."""
    settings = load(config)
    from workers.policy import load_policy  # with all that a policy may use: slow to load

    load_policy(settings.routing.script)
    print(f"{config}: no mistakes.")


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(help="Where the secret key goes.")] = Path("cluster.key"),
    node: Annotated[str, typer.Option(help="This node's id, for the line to paste.")] = "ID",
) -> None:
    """Make a pair of keys for [cluster]; of a key that is there, print the public one again."""
    from workers.cluster_settings import read_secret_key
    from workers.clusterer import keys

    if file.exists():
        public = keys.public_key(read_secret_key(file))
        print(f"{file} is there already and stays.")
    else:
        public = keys.generate(file)
        print(f"{file} holds the secret key: it stays on this node, as [cluster] key_file.")
    print(f"The public key is {public}")
    print("On every other node, in [cluster]:")
    print(f'peer_keys = {{ {node} = "{public}" }}')


@app.command(context_settings={"ignore_unknown_options": True})
def ctl(
    method: Annotated[str, typer.Argument(help="A management command; `which` lists them.")],
    params: Annotated[
        list[str] | None, typer.Argument(help="key=value, or values in order.")
    ] = None,
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Ask a running server; prints JSON."""
    answer = ask(runtime_dir(config), method, parse_params(params or []))
    if "error" in answer:
        _fail(json.dumps({"error": answer["error"]}, ensure_ascii=False))
    print(json.dumps(answer["result"], ensure_ascii=False, indent=2))


def parse_params(words: list[str]) -> list[Any] | dict[str, Any]:
    """The parameters of `key=value …`, or of plain values in the command's own order."""
    named = [_NAMED.fullmatch(word) for word in words]
    if not all(named):
        return [_value(word) for word in words]
    params: dict[str, Any] = {}
    for match in named:
        assert match is not None
        key, value = match[1], _value(match[2])
        if key in params:
            held = params[key]
            params[key] = [*held, value] if isinstance(held, list) else [held, value]
        else:
            params[key] = value
    return params


def _value(text: str) -> Any:
    """Text as it stands, or the JSON list or object it spells."""
    if text[:1] in {"[", "{"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


@db_app.command("create")
def db_create(config: ConfigFile = DEFAULT_FILE) -> None:
    """Make the tables that are missing in each database of [storage] urls."""
    from workers.storage import setup

    _each_database(config, setup.create)


@db_app.command("upgrade")
def db_upgrade(config: ConfigFile = DEFAULT_FILE) -> None:
    """Make the tables and columns that are missing, and enter the versions."""
    from workers.storage import setup

    _each_database(config, setup.upgrade)


@db_app.command("check")
def db_check(config: ConfigFile = DEFAULT_FILE) -> None:
    """Say what is missing in each database; exit status 1 when anything is."""
    from workers.storage import setup

    if _each_database(config, setup.check):
        raise SystemExit(1)


@db_app.command("add-user")
def db_add_user(
    user: Annotated[str, typer.Argument(help="USER@DOMAIN, or USER of the first domain.")],
    config: ConfigFile = DEFAULT_FILE,
) -> None:
    """Add a user, or give one a new password: asked for, or the first line of the input."""
    from workers.storage import subscribers

    settings = load(config)
    domains = settings.node.domains or (settings.listen.udp[0].host,)
    name, domain = subscribers.parse_user(user, domains[0])
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    realm = settings.auth.realm or domain
    for url in settings.storage.urls:
        print(f"{subscribers.add_user(url, name, domain, realm, password)}.")


def _each_database(config: Path, work: Callable[[str], list[str]]) -> int:
    """Do `work` on each database and print what it says; how much it had to say."""
    said = 0
    for number, url in enumerate(load(config).storage.urls):
        sentences = work(url)
        for sentence in sentences or ["nothing to do"]:
            print(f"database {number}: {sentence}.")
        said += len(sentences)
    return said


@table_app.command("check")
def table_check(
    file: Annotated[Path | None, typer.Argument(help="A table file.")] = None,
    config: Annotated[Path | None, typer.Option("-c", "--config")] = None,
) -> None:
    """Verify a table file and say what was found; exit status 1 when something is wrong."""
    from proxy.shm.repair import check as check_file

    if file is None:
        file = runtime_dir(config or DEFAULT_FILE) / LOCATION
    report = check_file(str(file))
    for fault in report.faults:
        print(f"{file}: {fault}")
    figures = ", ".join(f"{value} {name}" for name, value in report.figures().items())
    verdict = "no faults" if report.ok else f"{len(report.faults)} faults"
    print(f"{file}: {verdict}; {figures}{'; in use' if report.in_use else ''}.")
    if not report.ok:
        raise SystemExit(1)
