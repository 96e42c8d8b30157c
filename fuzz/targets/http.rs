//! A request's head and body: the same however their bytes are cut, and within every limit. One for Vault's API is answered, too.
#![no_main]

use std::io::Read;
use std::net::SocketAddr;
use std::sync::LazyLock;

use jarvis_secretsd::access::{Access, Issuers, Rules};
use jarvis_secretsd::api::VAULT_PATHS;
use jarvis_secretsd::base::clock::Clock;
use jarvis_secretsd::config::Config;
use jarvis_secretsd::daemon::Prepared;
use jarvis_secretsd::http::body::Body;
use jarvis_secretsd::http::framing::Framing;
use jarvis_secretsd::http::head::{Head, parse_head};
use jarvis_secretsd::http::scanner::Scanner;
use jarvis_secretsd::http::{self, Exchange, Handler, Limits, Peer};
use jarvis_secretsd::vault::KeyFile;
use jarvis_secretsd_fuzz::file;
use libfuzzer_sys::fuzz_target;

const MAX_BODY: usize = 4096;

/// A token that everybody knows, and its SHA-256.
const TOKEN: &str = "jst_000000000000000000000000000000000000000000000000000000000000000059dd7611";
const TOKEN_SHA256: &str = "6e755baeba819e19d66c65fb6f5a6b620dfc9e9574a868f6385c1a18b08fc4a2";

/// A daemon that serves Vault's API. Old versions and lines of the audit log are not kept for long.
static DAEMON: LazyLock<Prepared> = LazyLock::new(|| {
    let policy = format!("[clients.admin]\nallow = [\"*\"]\ntoken_sha256 = [\"{TOKEN_SHA256}\"]\n");
    let policy = file("policy.toml", policy.as_bytes());
    let state = policy.with_file_name("state");
    let config = format!(
        "[server]\nbind_addr = \"127.0.0.1:0\"\nvault_api = true\n[paths]\nstate_dir = {state:?}\n\
         [audit]\nsegment_bytes = 1048576\nkeep_segments = 1\n[security]\ngrace_days = 0\nrbac_policy_path = {policy:?}\n"
    );
    let config = Config::parse(&config, "config.toml".as_ref()).unwrap();
    let rules = Rules {
        require_client_id_header: true,
        trust_client_header: false,
        certificates: false,
        auth_failures_per_minute: 0,
    };
    let access = Access::load(policy, Vec::new(), rules, Issuers::default()).unwrap();
    let listener = http::bind(config.server.bind_addr.unwrap()).unwrap();
    let keys = KeyFile::new(&config.paths.master_key_path);
    Prepared::new(listener, &config, access, keys, Clock::system(), false).unwrap()
});

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = (usize::from(input.0) + 1, input.1);
    let limits = Limits { max_body: MAX_BODY, without_length: Some(VAULT_PATHS), ..Limits::default() };
    let whole = read(bytes, bytes.len().max(1), &limits);
    assert_eq!(read(bytes, step, &limits), whole, "in steps of {step}");
    if let Ok(Some(request)) = whole {
        check(&request);
        answer(&request);
    }
});

/// Has a whole request for Vault's API answered, to a client with a token unless it brings one.
fn answer(Request { head, body, .. }: &Request) {
    let Some(body) = body.as_ref().filter(|_| head.target.starts_with("/v1/")) else { return };
    let has = |name: &str| head.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
    let mut headers = head.headers.clone();
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("X-Request-Id"));
    headers.push(("X-Request-Id".to_owned(), "fuzz-1".to_owned()));
    if !has("X-Vault-Token") && !has("Authorization") {
        headers.push(("X-Vault-Token".to_owned(), TOKEN.to_owned()));
    }
    let is_head = head.method == "HEAD";
    let method = if is_head { "GET" } else { &head.method };
    let request = rouille::Request::fake_http(method, head.target.clone(), headers, Vec::new());
    let peer = Peer::at("127.0.0.1:5".parse::<SocketAddr>().unwrap());
    let mut exchange = Exchange::detached(&peer);
    exchange.is_head = is_head;
    let response = DAEMON.api().handle(&request, body, &mut exchange);
    let mut told = String::new();
    response.data.into_reader_and_size().0.read_to_string(&mut told).unwrap();
    assert!(response.status_code < 500, "{} {told}", response.status_code);
    assert!(told.is_empty() == (response.status_code == 204), "{} {told}", response.status_code);
    assert!(told.is_empty() || (told.starts_with('{') && told.ends_with('}')), "{told}");
}

#[derive(Debug, PartialEq)]
struct Request {
    head: Head,
    /// None if it is not complete.
    body: Option<Vec<u8>>,
    used: usize,
}

/// What a connection does, with `step` bytes at a time. The error is a status; none means that more has to come.
fn read(bytes: &[u8], step: usize, limits: &Limits) -> Result<Option<Request>, u16> {
    let mut scanner = Scanner::default();
    let mut place = None;
    let mut come = 0;
    while place.is_none() && come < bytes.len() {
        come = (come + step).min(bytes.len());
        place = scanner.scan(&bytes[..come]).map_err(|refusal| refusal.status)?;
    }
    let Some(place) = place else { return Ok(None) };
    let head = parse_head(&bytes[place.clone()], limits).map_err(|refusal| refusal.status)?;
    let mut body = Body::new(head.framing, limits.max_body);
    let mut used = place.end;
    for piece in bytes[place.end..].chunks(step) {
        if body.is_complete() {
            break;
        }
        used += body.feed(piece).map_err(|refusal| refusal.status)?;
    }
    let body = body.is_complete().then(|| body.bytes().to_vec());
    Ok(Some(Request { head, body, used }))
}

fn check(Request { head, body, .. }: &Request) {
    let count = |name: &str| head.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).count();
    assert!(count("host") == 1 || (head.is_http_10 && count("host") == 0));
    assert!(count("content-length") + count("transfer-encoding") <= 1, "one framing");
    assert!(head.target.starts_with('/') || head.target == "*");
    assert!(head.target.bytes().all(|byte| byte.is_ascii_graphic()));
    for (name, value) in &head.headers {
        assert!(!name.is_empty() && !name.contains([' ', '\t', ':']), "{name:?}");
        assert!(!value.contains(|c: char| c.is_ascii_control() && c != '\t'), "{value:?}");
    }
    if let Some(body) = body {
        assert!(body.len() <= MAX_BODY);
        assert!(matches!(head.framing, Framing::Chunked) || head.framing == Framing::Length(body.len()));
    }
}
