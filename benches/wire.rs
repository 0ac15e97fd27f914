//! The pure parts of a message's way through the gateway, each by itself.
//!
//! Wall time depends on the machine; to compare two versions count instructions, as CONTRIBUTING.md shows.

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput};
use tokio_util::sync::CancellationToken;
use trunkline::base::SealKey;
use trunkline::catalog::CatalogHandle;
use trunkline::config::{self, Sources};
use trunkline::protocol::sse::{self, Decoder};
use trunkline::protocol::{Message, Params, Patch, Splice, skim, translate};
use trunkline::supervisor::{Fleet, FleetOptions, Surroundings};

/// An ordinary modern call, 287 bytes.
const CALL: &str = r#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"files__read_text_file","arguments":{"path":"/srv/readme.md","head":40},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}},"progressToken":"t7"}}}"#;
/// Its reply, of a legacy server.
const REPLY: &str = r#"{"jsonrpc":"2.0","id":4503599627370497,"result":{"content":[{"type":"text","text":"Trunkline is a gateway. It starts the servers that you name and serves all of them at one address."}],"isError":false}}"#;
const SERVER_INFO: &str = r#"{"name":"files","version":"1.2.3"}"#;
/// A number as links mint them.
const MINTED: u64 = 4_503_599_627_370_497;
/// Tools in the list that is walked: a large fleet's.
const TOOLS: usize = 100;

fn main() {
    let mut criterion = short().configure_from_args();
    for benches in [message, translation, lists, events, seals, catalog] {
        benches(&mut criterion);
    }
    criterion.final_summary();
}

/// Runs that a person waits for; give criterion's own arguments for longer ones.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
}

fn parse(text: &'static str) -> Message {
    Message::parse(Bytes::from_static(text.as_bytes())).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn read(message: &Message) -> Box<Params> {
    Params::read(message).unwrap_or_else(|error| panic!("{error}"))
}

/// What the router edits in a call: id, progress token, name.
fn outgoing(message: &Message, params: &Params) -> Splice {
    let mut splice = Splice::new(message.text().clone());
    if let Some(id) = message.id_span() {
        splice.edit(id, Patch::Minted);
    }
    if let Some(token) = params.meta.as_ref().and_then(|meta| meta.progress_token.clone()) {
        splice.edit(token, Patch::Minted);
    }
    if let Some(name) = params.name.clone() {
        splice.replace(name, Bytes::from_static(b"\"read_text_file\""));
    }
    splice
}

fn message(criterion: &mut Criterion) {
    assert_eq!(CALL.len(), 287, "the figures that are compared are of this length");
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Bytes(CALL.len() as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| parse(black_box(CALL))));
    let call = parse(CALL);
    group.bench_function("params", |bencher| bencher.iter(|| read(black_box(&call))));
    let params = read(&call);
    let mut out = BytesMut::with_capacity(1024);
    group.bench_function("to_server", |bencher| {
        bencher.iter(|| {
            out.clear();
            outgoing(black_box(&call), &params).write(MINTED, &mut out);
        });
    });
    let reply = parse(REPLY);
    group.bench_function("to_client", |bencher| {
        bencher.iter(|| {
            let reply = black_box(&reply);
            let mut splice = Splice::new(reply.text().clone());
            splice.replace(reply.id_span().unwrap_or_default(), Bytes::from_static(b"17"));
            splice.to_bytes(0)
        });
    });
    group.finish();
}

fn translation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("translate");
    let reply = parse(REPLY);
    let place = reply.payload_span().unwrap_or_default();
    group.bench_function("to_modern", |bencher| {
        bencher.iter(|| {
            let mut splice = Splice::new(reply.text().clone());
            translate::result_to_modern(
                &mut splice,
                black_box(reply.as_str()),
                place.clone(),
                SERVER_INFO,
                false,
            );
            splice.to_bytes(0)
        });
    });
    let mut splice = Splice::new(reply.text().clone());
    translate::result_to_modern(&mut splice, reply.as_str(), place, SERVER_INFO, false);
    let modern = Message::parse(splice.to_bytes(0)).unwrap_or_else(|error| panic!("{error}"));
    let place = modern.payload_span().unwrap_or_default();
    group.bench_function("to_legacy", |bencher| {
        bencher.iter(|| {
            let mut splice = Splice::new(modern.text().clone());
            translate::result_to_legacy(&mut splice, black_box(modern.as_str()), place.clone());
            splice.to_bytes(0)
        });
    });
    group.finish();
}

fn lists(criterion: &mut Criterion) {
    let tool = |number: usize| {
        format!(
            r#"{{"name":"tool_{number}","description":"Does what its number says, and says so in a sentence of ordinary length.","inputSchema":{{"type":"object","properties":{{"path":{{"type":"string"}},"limit":{{"type":"integer","minimum":1}}}},"required":["path"]}},"annotations":{{"readOnlyHint":true}}}}"#
        )
    };
    let list = format!("[{}]", (0..TOOLS).map(tool).collect::<Vec<_>>().join(","));
    let mut group = criterion.benchmark_group("list");
    group.throughput(Throughput::Bytes(list.len() as u64));
    group.bench_function("walk_100_tools", |bencher| {
        bencher.iter(|| {
            let mut names = 0;
            let walked = skim::each_element(black_box(&list), |span| {
                names += usize::from(skim::string_field(&list[span], "name").is_some());
                Ok(())
            });
            assert!(walked.is_ok() && names == TOOLS);
        });
    });
    group.finish();
}

fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sse");
    group.bench_function("encode", |bencher| {
        bencher.iter(|| sse::event(None, &[black_box(REPLY.as_bytes())]))
    });
    let written = sse::event(None, &[REPLY.as_bytes()]);
    group.bench_function("decode", |bencher| {
        let mut decoder = Decoder::new(1 << 20);
        bencher.iter(|| {
            decoder.push(black_box(&written));
            decoder.next_event().ok().flatten()
        });
    });
    group.finish();
}

fn seals(criterion: &mut Criterion) {
    const PURPOSE: &[u8] = b"benchmark";
    // As long as the facts of an ordinary session.
    let payload = [7u8; 32];
    let key = SealKey::from_bytes(&[7; 32]);
    let mut group = criterion.benchmark_group("session");
    group.bench_function("seal", |bencher| bencher.iter(|| key.seal(PURPOSE, black_box(&payload))));
    let sealed = key.seal(PURPOSE, &payload);
    group.bench_function("open", |bencher| bencher.iter(|| key.open(PURPOSE, black_box(&sealed))));
    group.finish();
}

/// The demo server's tools, through a real fleet: nothing else makes a catalog.
fn catalog(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let (fleet, catalog) = runtime.block_on(demo());
    criterion.bench_function("catalog/tool", |bencher| {
        bencher.iter(|| {
            catalog.current().merged.tool(black_box("demo__echo")).map(|route| route.own_name_json.clone())
        });
    });
    runtime.block_on(fleet.shutdown());
}

async fn demo() -> (Fleet, CatalogHandle) {
    let env = vec![("HOME".to_owned(), "/nonexistent".to_owned())];
    let sources = Sources { file: None, env, flags: Vec::new(), exe: PROGRAM.into() };
    let loaded = config::load(sources).unwrap_or_else(|faults| panic!("{faults}"));
    let surroundings = Surroundings { exe: PROGRAM.into(), environment: Vec::new() };
    let servers = loaded.config.servers;
    let options = FleetOptions {
        servers,
        surroundings,
        store: None,
        stored: Vec::new(),
        credentials: None,
        parallel_starts: 1,
    };
    let fleet = Fleet::start(options);
    let catalog = CatalogHandle::start(fleet.clone(), NAME_LIMIT, CancellationToken::new());
    let mut changes = catalog.changes();
    while catalog.current().merged.tool("demo__echo").is_none() {
        let changed = tokio::time::timeout(START, changes.recv()).await;
        assert!(changed.is_ok(), "the demo server does not come up");
    }
    (fleet, catalog)
}

/// The gateway's program, which is also the demo server and its keeper.
const PROGRAM: &str = env!("CARGO_BIN_EXE_trunkline");
/// The default of `gateway.name_limit`.
const NAME_LIMIT: usize = 48;
/// The demo server is up in milliseconds.
const START: Duration = Duration::from_secs(10);
