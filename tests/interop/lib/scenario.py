"""What both Python clients do with the servers behind the gateway, written once.

A client program supplies `open_client(url)`, an async context manager that yields an object with the few
verbs used here; every verb returns plain dictionaries with the names of the wire. `scenario.mjs` holds the
same walk for the TypeScript SDKs.
"""

import base64
import json
from typing import Any

import anyio
from checks import Checks, ensure, equal, failure

CALLS_AT_ONCE = 20
# The long-running tool would take this many seconds; the client gives up at its first progress note.
LONG_SECONDS = 30
# More than one pipe buffer and more than one socket buffer.
LARGE_TEXT_CHARS = 400_000


async def walk(checks: Checks, base: str, workdir: str, tag: str, open_client: Any) -> None:
    """Walks every endpoint below `base`, the merged endpoint; `workdir` is the filesystem server's folder."""
    parts = [
        ("everything", f"{base}/everything", lambda client, check: everything(client, check)),
        ("everything over HTTP", f"{base}/everything-http", lambda client, check: over_http(client, check)),
        ("filesystem", f"{base}/filesystem", lambda client, check: filesystem(client, check, workdir, tag)),
        ("memory", f"{base}/memory", lambda client, check: memory(client, check, tag)),
        ("a modern server", f"{base}/modern", lambda client, check: modern_server(client, check)),
        ("merged", base, lambda client, check: merged(client, check, workdir, tag)),
    ]
    for name, url, part in parts:

        async def check(title: str, body: Any, name: str = name) -> None:
            await checks.check(f"{name}: {title}", body)

        try:
            async with open_client(url) as client:
                await part(client, check)
        except Exception as error:  # a connection that breaks is a failed check like any other
            checks.fail(f"{name}: the connection", error)


def text(result: dict[str, Any]) -> str:
    return result["content"][0]["text"]


async def everything(client: Any, check: Any) -> None:
    async def instructions() -> None:
        ensure("Everything Server" in (client.instructions() or ""), client.instructions())

    async def lists() -> None:
        tools = [tool["name"] for tool in await client.tools()]
        for name in ("echo", "get-sum", "get-tiny-image", "get-structured-content", "trigger-long-running-operation"):
            ensure(name in tools, f"{name} is missing from {tools}")
        ensure("get-roots-list" not in tools, "a shared server was told that its client has roots")
        uris = [resource["uri"] for resource in await client.resources()]
        ensure("demo://resource/static/document/architecture.md" in uris, uris)
        templates = [template["uriTemplate"] for template in await client.templates()]
        expected = ["demo://resource/dynamic/text/{resourceId}", "demo://resource/dynamic/blob/{resourceId}"]
        equal(templates, expected, "templates")
        prompts = [prompt["name"] for prompt in await client.prompts()]
        equal(prompts, ["simple-prompt", "args-prompt", "completable-prompt", "resource-prompt"], "prompts")

    async def unknown() -> None:
        message = await refusal(client, "no-such-tool")
        ensure("no-such-tool" in message, message)

    await check("the server’s own instructions arrive", instructions)
    await check("tools, resources, templates and prompts are listed whole", lists)
    await calls(client, check)
    await resources_and_prompts(client, check, "")
    await templated_resources(client, check)
    await concurrency(client, check, "")
    await check("an unknown tool is an error that names it", unknown)


async def over_http(client: Any, check: Any) -> None:
    await calls(client, check)
    await resources_and_prompts(client, check, "")
    await templated_resources(client, check)
    await concurrency(client, check, "")


async def calls(client: Any, check: Any) -> None:
    async def plain() -> None:
        echoed = await client.call("echo", {"message": 'héllo "trunk" \U0001f4de'})
        equal(text(echoed), 'Echo: héllo "trunk" \U0001f4de', "echo")
        equal(text(await client.call("get-sum", {"a": 19, "b": 23})), "The sum of 19 and 23 is 42.", "get-sum")

    async def rich() -> None:
        content = (await client.call("get-tiny-image", {}))["content"]
        image = next(part for part in content if part["type"] == "image")
        equal((image["mimeType"], image["data"][:8]), ("image/png", "iVBORw0K"), "image")
        annotated = await client.call("get-annotated-message", {"messageType": "error", "includeImage": True})
        annotations = annotated["content"][0]["annotations"]
        equal((annotations["priority"], annotations["audience"]), (1, ["user", "assistant"]), "annotations")
        weather = await client.call("get-structured-content", {"location": "Chicago"})
        expected = {"temperature": 36, "conditions": "Light rain / drizzle", "humidity": 82}
        equal(weather["structuredContent"], expected, "structured")
        reference = await client.call("get-resource-reference", {"resourceType": "Blob", "resourceId": 7})
        equal(reference["content"][1]["resource"]["uri"], "demo://resource/dynamic/blob/7", "embedded resource")
        links = await client.call("get-resource-links", {"count": 4})
        equal(sum(part["type"] == "resource_link" for part in links["content"]), 4, "resource links")

    async def progress() -> None:
        notes: list[tuple[float, float | None]] = []

        async def note(done: float, total: float | None, _message: str | None) -> None:
            notes.append((done, total))

        result = await client.call("trigger-long-running-operation", {"duration": 0.5, "steps": 5}, note)
        equal(text(result), "Long running operation completed. Duration: 0.5 seconds, Steps: 5.", "result")
        equal(notes, [(step, 5) for step in range(1, 6)], "progress")

    async def own_error() -> None:
        result = await client.call("get-sum", {"a": "not a number", "b": 1})
        ensure(result["isError"] is True and "get-sum" in text(result), result)

    await check("echo and get-sum answer", plain)
    await check("image, annotations, structured content, resource content and links survive", rich)
    await check("progress notes reach their caller, in order", progress)
    await check("a tool’s own error stays the tool’s", own_error)


async def resources_and_prompts(client: Any, check: Any, prefix: str) -> None:
    async def resources() -> None:
        uri = "demo://resource/static/document/architecture.md"
        document = (await client.read(uri))["contents"][0]
        equal((document["uri"], document["mimeType"]), (uri, "text/markdown"), "document")
        ensure("Everything Server" in document["text"], document["text"])

    async def unknown() -> None:
        error = await failure(client.read("demo://resource/static/document/none.md"), "reading it")
        ensure(client.code(error) in (-32602, -32002), repr(error))

    async def prompts() -> None:
        simple = await client.prompt(f"{prefix}simple-prompt", None)
        equal(simple["messages"][0]["content"]["text"], "This is a simple prompt without arguments.", "simple")
        args = await client.prompt(f"{prefix}args-prompt", {"city": "Bergen", "state": "Vestland"})
        equal(args["messages"][0]["content"]["text"], "What's weather in Bergen, Vestland?", "args")
        embedded = await client.prompt(f"{prefix}resource-prompt", {"resourceType": "Text", "resourceId": "2"})
        equal(embedded["messages"][1]["content"]["resource"]["uri"], "demo://resource/dynamic/text/2", "embedded")

    async def completion() -> None:
        name = f"{prefix}completable-prompt"
        equal(await client.complete_prompt(name, ("department", "S"), None), ["Sales", "Support"], "departments")
        context = {"department": "Sales"}
        equal(await client.complete_prompt(name, ("name", "D"), context), ["David"], "names")

    await check("a listed resource is read", resources)
    await check("an unknown resource is an error", unknown)
    await check("prompts are got, with and without arguments", prompts)
    await check("completion answers for a prompt, with context too", completion)


async def templated_resources(client: Any, check: Any) -> None:
    """Resources from a template are asked for where it is clear whose they are; `merged` tests the other case."""

    async def templated() -> None:
        dynamic = (await client.read("demo://resource/dynamic/text/3"))["contents"][0]
        ensure(dynamic["text"].startswith("Resource 3: This is a plaintext resource"), dynamic)
        blob = (await client.read("demo://resource/dynamic/blob/4"))["contents"][0]["blob"]
        ensure(base64.b64decode(blob).startswith(b"Resource 4: This is a base64 blob"), blob)
        uri = "demo://resource/dynamic/text/{resourceId}"
        equal(await client.complete_template(uri, ("resourceId", "12")), ["12"], "ids")

    await check("resources of a template are read, a text and a blob, and completed", templated)


async def concurrency(client: Any, check: Any, prefix: str) -> None:
    async def at_once() -> None:
        replies: dict[int, str] = {}

        async def one(n: int) -> None:
            if n % 2:
                replies[n] = text(await client.call(f"{prefix}echo", {"message": f"call {n}"}))
            else:
                replies[n] = text(await client.call(f"{prefix}get-sum", {"a": n, "b": 1000}))

        async with anyio.create_task_group() as tasks:
            for n in range(CALLS_AT_ONCE):
                tasks.start_soon(one, n)
        expected = {
            n: f"Echo: call {n}" if n % 2 else f"The sum of {n} and 1000 is {n + 1000}." for n in range(CALLS_AT_ONCE)
        }
        equal(dict(sorted(replies.items())), expected, "replies")

    async def progress_at_once() -> None:
        totals: dict[int, list[float | None]] = {2: [], 3: [], 4: []}

        async def one(steps: int) -> None:
            async def note(_done: float, total: float | None, _message: str | None) -> None:
                totals[steps].append(total)

            arguments = {"duration": 0.3, "steps": steps}
            await client.call(f"{prefix}trigger-long-running-operation", arguments, note)

        async with anyio.create_task_group() as tasks:
            for steps in totals:
                tasks.start_soon(one, steps)
        equal(totals, {steps: [steps] * steps for steps in totals}, "totals by call")

    async def abandoned() -> None:
        started = anyio.current_time()
        with anyio.CancelScope() as scope:

            async def note(_done: float, _total: float | None, _message: str | None) -> None:
                scope.cancel()

            arguments = {"duration": LONG_SECONDS, "steps": LONG_SECONDS * 5}
            await client.call(f"{prefix}trigger-long-running-operation", arguments, note)
        ensure(scope.cancelled_caught, "the call ended by itself")
        equal(text(await client.call(f"{prefix}echo", {"message": "after"})), "Echo: after", "echo after it")
        ensure(anyio.current_time() - started < LONG_SECONDS / 2, "the abandoned call was waited for")

    await check(f"{CALLS_AT_ONCE} calls at once get their own replies", at_once)
    await check("progress of calls at once is not crossed", progress_at_once)
    await check("an abandoned call ends at once and the next one works", abandoned)


async def refusal(client: Any, name: str) -> str:
    """An unknown name may be refused by the gateway (an error) or by the server (a result that is an error)."""
    try:
        result = await client.call(name, {})
    except Exception as error:  # the message is what is looked at
        return str(error)
    ensure(result["isError"] is True, f"calling {name} succeeded: {result}")
    return text(result)


async def filesystem(client: Any, check: Any, workdir: str, tag: str) -> None:
    path = f"{workdir}/{tag}.txt"

    async def small() -> None:
        await client.call("write_file", {"path": path, "content": "first line\nsecond line, ünïcode\n"})
        listed = text(await client.call("list_directory", {"path": workdir}))
        ensure(f"[FILE] {tag}.txt" in listed, listed)
        equal(text(await client.call("read_text_file", {"path": path, "head": 1})), "first line", "head")
        edits = [{"oldText": "second", "newText": "other"}]
        await client.call("edit_file", {"path": path, "edits": edits})
        back = text(await client.call("read_text_file", {"path": path}))
        equal(back, "first line\nother line, ünïcode\n", "text")

    async def large() -> None:
        content = "".join(f"{n:9}\n" for n in range(LARGE_TEXT_CHARS // 10))
        await client.call("write_file", {"path": path, "content": content})
        back = await client.call("read_text_file", {"path": path})
        ensure(text(back) == content, f"{len(text(back))} characters came back")
        ensure(back["structuredContent"]["content"] == content, "the structured copy differs")

    async def outside() -> None:
        result = await client.call("read_text_file", {"path": "/etc/hostname"})
        ensure(result["isError"] is True and "Access denied" in text(result), result)

    await check("a file is written, listed, read and edited", small)
    await check(f"a text of {LARGE_TEXT_CHARS} characters goes there and back", large)
    await check("a path outside the allowed folder is the tool’s error", outside)


async def memory(client: Any, check: Any, tag: str) -> None:
    line, box = f"{tag}-line", f"{tag}-box"

    async def graph() -> None:
        entities = [
            {"name": name, "entityType": "telephony", "observations": [f"{name} rings"]} for name in (line, box)
        ]
        made = await client.call("create_entities", {"entities": entities})
        equal(made["structuredContent"]["entities"], entities, "created")
        relation = {"from": line, "to": box, "relationType": "ends in"}
        await client.call("create_relations", {"relations": [relation]})
        opened = (await client.call("open_nodes", {"names": [line, box]}))["structuredContent"]
        equal((len(opened["entities"]), opened["relations"]), (2, [relation]), "opened")
        whole = (await client.call("read_graph", {}))["structuredContent"]
        ensure(any(entity["name"] == line for entity in whole["entities"]), whole)
        await client.call("delete_entities", {"entityNames": [line, box]})
        rest = (await client.call("open_nodes", {"names": [line, box]}))["structuredContent"]
        equal(rest["entities"], [], "after delete")

    async def resource() -> None:
        read = await client.read("memory://knowledge-graph")
        ensure("entities" in json.loads(read["contents"][0]["text"]), read)

    await check("a graph is created, read and deleted", graph)
    await check("its resource is read", resource)


async def modern_server(client: Any, check: Any) -> None:
    """A server of the modern era alone; a legacy client must not notice."""

    async def lists() -> None:
        equal(client.instructions(), "Counts and greets.", "instructions")
        equal([tool["name"] for tool in await client.tools()], ["greet", "count"], "tools")
        equal([resource["uri"] for resource in await client.resources()], ["timetable://today"], "resources")
        equal([prompt["name"] for prompt in await client.prompts()], ["wake"], "prompts")

    async def answers() -> None:
        equal(text(await client.call("greet", {"name": "Ada"})), "Good day, Ada.", "greet")
        equal((await client.read("timetable://today"))["contents"][0]["text"], "Calls all day.", "resource")
        prompt = await client.prompt("wake", {"hour": "7"})
        equal(prompt["messages"][0]["content"]["text"], "Wake me at 7.", "prompt")

    async def progress() -> None:
        notes: list[tuple[float, float | None]] = []

        async def note(done: float, total: float | None, _message: str | None) -> None:
            notes.append((done, total))

        await client.call("count", {"to": 3}, note)
        equal(notes, [(1, 3), (2, 3), (3, 3)], "progress")

    await check("its lists and instructions arrive", lists)
    await check("its tools, resource and prompt answer", answers)
    await check("its progress notes arrive", progress)


async def merged(client: Any, check: Any, workdir: str, tag: str) -> None:
    async def lists() -> None:
        tools = [tool["name"] for tool in await client.tools()]
        expected = (
            "everything__echo",
            "everything-http__echo",
            "filesystem__write_file",
            "memory__read_graph",
            "thinking__sequentialthinking",
            "modern__greet",
            "demo__echo",
        )
        for name in expected:
            ensure(name in tools, f"{name} is missing from {tools}")
        equal([name for name in tools if "__" not in name], [], "names without a server")
        equal(len(tools), len(set(tools)), "distinct names")
        prompts = [prompt["name"] for prompt in await client.prompts()]
        ensure("everything__simple-prompt" in prompts, prompts)
        uris = [resource["uri"] for resource in await client.resources()]
        ensure("memory://knowledge-graph" in uris, uris)
        equal(len(uris), len(set(uris)), "a URI that two servers list is listed once")

    async def of_every_server() -> None:
        equal(text(await client.call("everything__echo", {"message": "a"})), "Echo: a", "everything")
        total = text(await client.call("everything-http__get-sum", {"a": 1, "b": 2}))
        equal(total, "The sum of 1 and 2 is 3.", "over HTTP")
        path = f"{workdir}/{tag}-merged.txt"
        await client.call("filesystem__write_file", {"path": path, "content": "merged"})
        equal(text(await client.call("filesystem__read_text_file", {"path": path})), "merged", "filesystem")
        ensure("entities" in (await client.call("memory__read_graph", {}))["structuredContent"], "memory")
        thought = {"thought": "one", "nextThoughtNeeded": False, "thoughtNumber": 1, "totalThoughts": 1}
        thinking = await client.call("thinking__sequentialthinking", thought)
        equal(thinking["structuredContent"]["thoughtNumber"], 1, "thinking")
        equal(text(await client.call("modern__greet", {"name": "Bo"})), "Good day, Bo.", "modern")
        ensure("ring ring" in json.dumps(await client.call("demo__echo", {"message": "ring ring"})), "demo")

    async def ambiguous() -> None:
        error = await failure(client.read("demo://resource/dynamic/text/3"), "reading it")
        ensure(client.code(error) in (-32602, -32002) and "/mcp/everything" in str(error), repr(error))

    async def refused() -> None:
        for name in ("everything__none", "nobody__echo", "echo"):
            error = await failure(client.call(name, {"message": "x"}), name)
            equal(client.code(error), -32602, f"code for {name} ({error})")

    await check("every server’s tools, prompts and resources are listed", lists)
    await check("tools of every server are called", of_every_server)
    await resources_and_prompts(client, check, "everything__")
    await concurrency(client, check, "everything__")
    await check("a resource of a template that two servers have is refused with the way out", ambiguous)
    await check("an unknown tool, an unknown server and an unprefixed name are refused", refused)
