#!/usr/bin/env bash
# The MCP Inspector's command line, one process a call, in either era.
# Usage: inspector.sh URL legacy|modern WORKDIR     (node and node_modules/.bin in PATH)
set -euo pipefail

if [[ $# -ne 3 || ! $2 =~ ^(legacy|modern)$ ]]; then
    echo "usage: inspector.sh URL legacy|modern WORKDIR" >&2
    exit 2
fi
url=$1 era=$2 workdir=$3
call_deadline=30 # seconds; a call ends within one
failed=0

# The inspector keeps catalogs and secrets in its user's home; here that is a folder of the run's.
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export HOME=$home MCP_INSPECTOR_SECRET_STORE=memory

inspect() { # endpoint method arguments…
    local endpoint=$1 method=$2
    shift 2
    timeout "$call_deadline" mcp-inspector --cli --quiet --format json --transport http --server-url "$endpoint" \
        --protocol-era "$era" --method "$method" "$@" 2>&1
}

expect() { # name, text that the output must contain, endpoint, method, arguments…
    local name="inspector $era: $1" wanted=$2 output
    shift 2
    if ! output=$(inspect "$@"); then
        report "$name" "exit status $?: $output"
    elif [[ $output != *"$wanted"* ]]; then
        report "$name" "no '$wanted' in: $output"
    else
        echo "ok - $name"
    fi
}

expect_failure() { # name, endpoint, method, arguments…
    local name="inspector $era: $1" output
    shift
    if output=$(inspect "$@"); then
        report "$name" "succeeded, but had to fail: $output"
    else
        echo "ok - $name"
    fi
}

report() {
    failed=1
    echo "not ok - $1: $(tr '\n' ' ' <<<"${2:0:600}")"
}

one=$url/everything
expect 'lists the tools of one server' '"name":"echo"' "$one" tools/list
expect 'lists resources' 'architecture.md' "$one" resources/list
expect 'lists templates' 'demo://resource/dynamic/text/{resourceId}' "$one" resources/templates/list
expect 'lists prompts' '"name":"args-prompt"' "$one" prompts/list
expect 'calls a tool' 'Echo: ring' "$one" tools/call --tool-name echo --tool-arg message=ring
expect 'gets structured content' '"humidity":48' \
    "$one" tools/call --tool-name get-structured-content --tool-arg 'location=Los Angeles'
expect 'reads a resource' 'Everything Server' "$one" resources/read --uri demo://resource/static/document/features.md
expect 'gets a prompt' 'weather in Oslo' "$one" prompts/get --prompt-name args-prompt --prompt-args city=Oslo

expect 'lists the merged tools' '"name":"memory__read_graph"' "$url" tools/list
expect 'calls a merged tool' 'The sum of 2 and 3 is 5' \
    "$url" tools/call --tool-name everything__get-sum --tool-arg a=2 b=3
expect 'writes a file through the merged endpoint' 'Successfully wrote' "$url" tools/call \
    --tool-name filesystem__write_file --tool-arg "path=$workdir/inspector-$era.txt" content=inspected
expect 'reads it back' 'inspected' "$url" tools/call \
    --tool-name filesystem__read_text_file --tool-arg "path=$workdir/inspector-$era.txt"
expect_failure 'is refused an unknown tool' "$url" tools/call --tool-name everything__none
expect_failure 'is refused an unknown server' "$url/nobody" tools/list

exit "$failed"
