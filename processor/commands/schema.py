"""``schema``: the documents that describe the events and the HTTP interface."""

from typing import Annotated

import typer

from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, say, say_result


def schema(
    *,
    check: Annotated[bool, typer.Option("--check", help="Check that documents and models agree.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the documents anew from the models.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Freeze the schemas that consumers rely on.")] = False,
    http: Annotated[bool, typer.Option("--http", help="Print the OpenAPI document.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print, check, write or release the schemas of events and of the HTTP interface.

    Without an option it prints the AsyncAPI document, with `--http` the OpenAPI document.

    `--check` exits with 1 if a committed document differs from the models, or if the models break what was released:
    a field removed, retyped or newly required. Such a change needs a new version of the event.

    Try:

      processor schema > asyncapi.json

      processor schema --http > openapi.json

      processor schema --check
    """
    from processor.api.openapi import NAME
    from processor.api.operations import openapi_document
    from schemas import documents

    interface = {NAME: openapi_document().decode()}
    if sum((check, write, release)) > 1:
        raise CommandError("give one of --check, --write and --release", ExitCode.USAGE)
    if write:
        _say_documents({"written": documents.write(others=interface)}, as_json=as_json)
    elif release:
        _say_documents({"released": _release()}, as_json=as_json)
    elif check:
        stale, breaking = documents.stale(others=interface), documents.breaking()
        _say_documents({"stale": stale, "breaking": breaking}, as_json=as_json)
        answer(yes=not stale and not breaking)
    else:
        say((interface[NAME] if http else documents.documents()["asyncapi.json"]).rstrip())


def _release() -> list[str]:
    from schemas import documents

    try:
        return documents.release()
    except ValueError as error:
        raise CommandError(str(error), ExitCode.NO) from None


def _say_documents(found: dict[str, list[str]], *, as_json: bool) -> None:
    lines = [f"{word}: {each}" for word, each_of in found.items() for each in each_of]
    say_result(found, "\n".join(lines) or "Documents and models agree.", as_json=as_json)
