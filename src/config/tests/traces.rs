//! `[traces]`: where spans go, and what is wrong with that.

use super::given;

#[test]
fn an_address_without_a_path_is_a_collectors_and_another_is_taken_as_it_is() {
    for (written, read) in [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("https://collector/", "https://collector/v1/traces"),
        ("http://collector/otlp/v1/traces", "http://collector/otlp/v1/traces"),
        ("http://collector/?tenant=a", "http://collector/?tenant=a"),
    ] {
        let config = given(&format!("traces.endpoint = \"{written}\"")).config();
        assert_eq!(config.traces.unwrap().endpoint.to_string(), read);
    }
}

#[test]
fn without_an_address_nothing_is_traced_and_no_reference_resolved() {
    let file = "[traces]\nheaders = { X-Key = \"${env:NOT_SET}\" }\nresource = [\"a=${env:NOT_SET}\"]\n";
    assert_eq!(given(file).config().traces, None);
}

#[test]
fn what_cannot_be_sent_or_means_nothing_is_told_at_once() {
    let file = "\
[traces]
endpoint = \"http://me:word@collector\"
headers = { Host = \"x\" }
sample_ratio = 1.5
service_name = \" \"
resource = [\"a\", \"service.name=x\", \"b=1\", \"b=2\", \"service.version=1\"]
queue = 3
timeout = \"2h\"
";
    let faults = given(file).faults();
    for expected in [
        "`traces.endpoint` is \"http://***@collector\", which is a URL with a user name or password in it",
        "`traces.headers.Host` is a header that the gateway writes itself",
        "`traces.sample_ratio` is \"1.5\", which is out of bounds",
        "`traces.service_name` is \" \", which names nothing",
        "`traces.resource` has a, which is no attribute",
        "`traces.resource` has service.name, which has a key of its own",
        "`traces.resource` has b, which is there twice",
        "`traces.resource` has service.version, which is set by the gateway",
        "`traces.queue` is 3, which is out of bounds",
        "`traces.timeout` is \"2h\", which is out of bounds",
        "10 faults in the configuration",
    ] {
        assert!(faults.contains(expected), "{expected} is not in\n{faults}");
    }
    assert!(!faults.contains("word@"), "{faults}");
}
