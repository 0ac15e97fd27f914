//! What a server is told that can never run.

use super::given;

#[test]
fn a_bad_name_is_told_with_a_good_one() {
    let file = "\
[servers.My_Server]
command = \"x\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.My_Server` is no name for a server
 --> gateway.toml:1:10
  |
1 | [servers.My_Server]
  |          ^^^^^^^^^
help: a server's name is 1 to 24 characters of a-z, 0-9 and `-`, the first of them a letter or a digit; for instance `my-server`

1 fault in the configuration"
    );
}

#[test]
fn a_server_without_a_way_to_reach_it_is_told_at_its_name() {
    let file = "\
[servers.a]
enabled = true
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a` has neither `command` nor `url`
 --> gateway.toml:1:10
  |
1 | [servers.a]
  |          ^
help: add `command` to start a program, or `url` to connect to a running one

1 fault in the configuration"
    );
}

#[test]
fn a_server_with_two_ways_to_reach_it_is_told_at_the_second() {
    let file = "\
[servers.a]
command = \"x\"
url = \"http://x/\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a` has both `command` and `url`
 --> gateway.toml:3:1
  |
3 | url = \"http://x/\"
  | ^^^
help: keep `command` to start a program, or `url` to connect to one

1 fault in the configuration"
    );
}

#[test]
fn keys_that_only_programs_have_are_refused_for_a_url() {
    let file = "\
[servers.a]
url = \"http://x/\"
args = [\"a\"]
env = { A = \"s3cret\" }
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.args` means nothing for a server with `url`
 --> gateway.toml:3:1
  |
3 | args = [\"a\"]
  | ^^^^
help: remove it: only a server with `command` has this key

error: `servers.a.env.A` means nothing for a server with `url`
 --> gateway.toml:4:9
  |
4 | env = { A = \"***\" }
  |         ^
help: remove it: only a server with `command` has this key

2 faults in the configuration"
    );
}

#[test]
fn keys_that_only_urls_have_are_refused_for_a_program() {
    let file = "\
[servers.a]
command = \"x\"
headers.X = \"s3cret\"
connect_timeout = \"1s\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.headers.X` means nothing for a server with `command`
 --> gateway.toml:3:9
  |
3 | headers.X = \"***\"
  |         ^
help: remove it: only a server with `url` has this key

error: `servers.a.connect_timeout` means nothing for a server with `command`
 --> gateway.toml:4:1
  |
4 | connect_timeout = \"1s\"
  | ^^^^^^^^^^^^^^^
help: remove it: only a server with `url` has this key

2 faults in the configuration"
    );
}

#[test]
fn a_command_with_its_arguments_in_it_is_told_where_they_go() {
    let file = "\
[servers.a]
command = \"npx -y foo\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.command` is \"npx -y foo\", which is more than a program
 --> gateway.toml:2:11
  |
2 | command = \"npx -y foo\"
  |           ^^^^^^^^^^^^
help: write command = \"npx\", and the rest as a list in `args`; no shell reads them

1 fault in the configuration"
    );
}

#[test]
fn an_unset_variable_is_told_with_key_and_name_and_nothing_around_it() {
    let file = "\
[servers.a]
command = \"x\"
env = { A = \"s3cret\", TOKEN = \"pre s3cret ${env:NOPE}\" }
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.env.TOKEN` refers to the environment variable NOPE, which is not set
 --> gateway.toml:3:31
  |
3 | env = { A = \"***\", TOKEN = \"***${env:NOPE}\" }
  |                            ^^^^^^^^^^^^^^^^
help: set NOPE where the gateway is started, or write `$${env:NOPE}` for the literal text

1 fault in the configuration"
    );
}

#[test]
fn references_of_other_programs_are_told_in_our_form() {
    let file = "\
[servers.a]
command = \"x\"
env = { TOKEN = \"${TOKEN}\" }
args = [\"a\", \"${vault:x}\"]
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.env.TOKEN` has `${TOKEN}`, a reference that does not say to what
 --> gateway.toml:3:17
  |
3 | env = { TOKEN = \"${TOKEN}\" }
  |                 ^^^^^^^^^^
help: write `${env:TOKEN}` for the environment variable, or `$${` for a literal `${`

error: `servers.a.args` has a reference of the unknown kind `${vault:…}`
 --> gateway.toml:4:14
  |
4 | args = [\"a\", \"${vault:x}\"]
  |              ^^^^^^^^^^^^
help: write `${env:VAR}` for an environment variable; references are `${env:NAME}`, `${file:/path}`, `${credential:name}` and `${trunkline}`; write `$${` for a literal `${`

2 faults in the configuration"
    );
}

#[test]
fn a_file_that_a_reference_cannot_read_is_told() {
    let file = "\
[servers.a]
url = \"http://x/\"
headers = { Authorization = \"Bearer ${file:/nowhere/token}\" }
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.headers.Authorization` refers to the file /nowhere/token, which cannot be opened: No such file or directory (os error 2)
 --> gateway.toml:3:29
  |
3 | headers = { Authorization = \"***${file:/nowhere/token}\" }
  |                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^
help: name a small text file that the gateway may read, such as `${file:/run/secrets/token}`

1 fault in the configuration"
    );
}

#[test]
fn urls_that_cannot_be_used_are_told_without_their_credentials() {
    let file = "\
[servers.a]
url = \"https://u:s3cret@x/?k=s3cret\"
[servers.b]
url = \"ftp://x/?k=s3cret\"
proxy = \"socks5://u:s3cret@x\"
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.url` is \"https://***@x/?***\", which is a URL with a user name or password in it
 --> gateway.toml:2:7
  |
2 | url = \"https://***@x/?***\"
  |       ^^^^^^^^^^^^^^^^^^^^
help: send credentials as a header: headers = { Authorization = \"Bearer ${env:TOKEN}\" }

error: `servers.b.url` is \"ftp://x/?***\", which is not an http or https URL
 --> gateway.toml:4:7
  |
4 | url = \"ftp://x/?***\"
  |       ^^^^^^^^^^^^^^
help: write the whole address, such as \"https://mcp.example.com/mcp\"

error: `servers.b.proxy` is \"socks5://***@x\", which is not the URL of an HTTP proxy
 --> gateway.toml:5:9
  |
5 | proxy = \"socks5://***@x\"
  |         ^^^^^^^^^^^^^^^^
help: write scheme, host and port, such as \"http://proxy:3128\"

3 faults in the configuration"
    );
}

#[test]
fn headers_that_cannot_be_sent_are_told_without_their_values() {
    let file = "\
[servers.a]
url = \"http://x/\"
headers = { \"X Y\" = \"s3cret\", Host = \"s3cret\", Z = \"s3cret\\n\", z = \"s3cret\" }
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.headers.X Y` is no name for a header
 --> gateway.toml:3:13
  |
3 | headers = { \"X Y\" = \"***\", Host = \"***\", Z = \"***\", z = \"***\" }
  |             ^^^^^
help: a header's name is letters, digits and dashes, such as X-Api-Key

error: `servers.a.headers.Host` is a header that the gateway writes itself
 --> gateway.toml:3:31
  |
3 | headers = { \"X Y\" = \"***\", Host = \"***\", Z = \"***\", z = \"***\" }
  |                            ^^^^
help: remove it

error: `servers.a.headers.Z` has a value that no header can have
 --> gateway.toml:3:52
  |
3 | headers = { \"X Y\" = \"***\", Host = \"***\", Z = \"***\", z = \"***\" }
  |                                              ^^^^^
help: a header's value is one line of visible characters

error: `servers.a.headers.z` is there a second time
 --> gateway.toml:3:64
  |
3 | headers = { \"X Y\" = \"***\", Host = \"***\", Z = \"***\", z = \"***\" }
  |                                                     ^
help: names of headers know no case; keep one of the two

4 faults in the configuration"
    );
}

#[test]
fn a_pattern_that_matches_nothing_is_told() {
    let file = "\
[servers.a]
command = \"x\"
tools = { deny = [\"ok\", \"\"] }
";
    assert_eq!(
        given(file).faults(),
        "\
error: `servers.a.tools.deny` has \"\", which matches no tool
 --> gateway.toml:3:25
  |
3 | tools = { deny = [\"ok\", \"\"] }
  |                         ^^
help: write a tool's own name, or a pattern such as \"get_*\"

1 fault in the configuration"
    );
}
