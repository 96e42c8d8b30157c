//! A failed authentication: the message says what was sent, and the daemon's log why that was not accepted.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use jarvis_secretsd::access::Token;
use rustix::process::geteuid;

use crate::client::Client;
use crate::client_program::{ServingDaemon, failure, program};
use crate::running::Daemon;
use crate::site::eventually;

const TOKEN: &str = "Authorization";

/// Whatever the log says of those who were not authenticated, a line each, without the time.
fn logged(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    let lines = log.lines().filter_map(|line| line.split_once("Not authenticated: "));
    lines.map(|(_, told)| told.to_owned()).collect()
}

/// Does this again and again, for only the first request of a second is logged, until one is. Returns the request's id, and
/// what is logged of it.
fn logged_for(daemon: &Daemon, mut fail: impl FnMut() -> String) -> (String, String) {
    eventually("the log has one of these requests", || {
        let id = fail();
        let line = logged(daemon).into_iter().find(|line| line.starts_with(&format!("request {id} ")))?;
        Some((id, line))
    })
}

#[test]
fn the_log_says_by_the_requests_id_why_it_was_not_authenticated() {
    let asked = ServingDaemon::plain();
    let daemon = &asked.daemon;
    let stranger = Token::generate().unwrap();
    let bearer = format!("Bearer {}", stranger.expose());
    let (rest, last) = bearer.split_at(bearer.len() - 1);
    let mistyped = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    for (headers, said, why) in [
        (&[("X-Jarvis-Client", "admin")][..], ", claims to be admin", "no credential"),
        (&[("X-Jarvis-Client", "nobody")], ", claims to be nobody", "unknown client"),
        (&[("X-Jarvis-Client", "admin"), (TOKEN, &bearer)], ", claims to be admin", "wrong token"),
        (&[(TOKEN, &mistyped)], "", "mistyped token: its checksum does not fit"),
        (&[("X-Jarvis-Client", stranger.expose())], "", "unknown client"),
        (&[], "", "no client header"),
    ] {
        let mut client = Client::with(headers, daemon.addr());
        let (_, line) = logged_for(daemon, || {
            let answer = client.get("/secret/db_main");
            assert_eq!(answer.status, 401, "{}", answer.body);
            answer.header("X-Request-Id").unwrap().to_owned()
        });
        let line = line.split("; ").next().unwrap();
        assert!(line.contains(" from 127.0.0.1:") && line.ends_with(&format!("{said}: {why}")), "{line}");
    }
    let log = daemon.log();
    assert!(!log.contains(&stranger.expose()[..12]) && !log.contains(&stranger.expose()[60..]), "{log}");
}

#[test]
fn the_log_has_one_line_a_second_and_the_number_of_the_others() {
    const FAILURES: usize = 500;
    let daemon = Daemon::start();
    let (mut stranger, mut all) = (daemon.client("stranger"), 0);
    let mut fail = || {
        all += 1;
        stranger.get("/secrets").header("X-Request-Id").unwrap().to_owned()
    };
    let begun = Instant::now();
    for _ in 0..FAILURES {
        fail();
    }
    // As soon as one is logged again, the number of those before it is logged too.
    let (_, line) = logged_for(&daemon, &mut fail);
    assert!(line.ends_with(" more before it"), "{line}");
    let lines = logged(&daemon).len() as u64;
    assert!(lines <= begun.elapsed().as_secs() + 1, "{lines} in {:?}", begun.elapsed());
    fail();
    let site = daemon.stop();
    let log = site.read("log");
    let about = log.lines().filter_map(|line| line.split_once("Not authenticated: ")).map(|(_, told)| told);
    let counted: usize = about
        .map(|line| match line.strip_suffix(" more before it").and_then(|line| line.rsplit_once("; ")) {
            Some((_, before)) => before.parse::<usize>().unwrap() + 1,
            // The end of the daemon tells what is left.
            None => line.strip_suffix(" more").map_or(1, |rest| rest.parse().unwrap()),
        })
        .sum();
    assert_eq!(counted, all, "{log}");
}

/// The part of the program's message in front of the request's id, and that the log has the request.
fn refusal(daemon: &Daemon, mut program: Command) -> String {
    let mut message = String::new();
    logged_for(daemon, || {
        let why = failure(&program.output().unwrap(), 4);
        let (before, id) = why.split_once("; the daemon's log says why under request id ").unwrap();
        message = before.to_owned();
        id.to_owned()
    });
    message
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_command_says_what_it_has_sent_and_where_that_came_from() {
    let asked = ServingDaemon::plain();
    let daemon = &asked.daemon;
    let (file, settings) = (daemon.site.path("a.token"), daemon.site.path("client.toml"));
    let token = Token::generate().unwrap();
    private(&file, token.expose());
    private(&settings, "");
    let get = || {
        let mut program = program(&daemon.site, &["get", "db_main"]);
        program.env("JARVIS_SECRETSD_ADDR", asked.addr());
        program
    };
    let sent = |program: Command| {
        let why = refusal(daemon, program);
        assert!(!why.contains(&token.expose()[..12]), "{why}");
        why.strip_prefix("db_main: not authenticated; ").unwrap().to_owned()
    };
    let not_accepted = |what: &str| format!("this was sent and is not accepted: {what}");

    let mut by_variable = get();
    by_variable.env("JARVIS_SECRETSD_TOKEN", token.expose()).args(["--client", "admin"]);
    let expected = not_accepted("the token (JARVIS_SECRETSD_TOKEN), the client's name admin (--client)");
    assert_eq!(sent(by_variable), expected);
    let mut by_file = get();
    by_file.env("JARVIS_SECRETSD_TOKEN_FILE", &file);
    let expected = not_accepted(&format!("the token (JARVIS_SECRETSD_TOKEN_FILE, {})", file.display()));
    assert_eq!(sent(by_file), expected);
    private(&settings, &format!("token_file = {file:?}\nclient = \"db\"\n"));
    let (by, of) = (settings.display(), file.display());
    let expected = format!("the token (token_file in {by}, {of}), the client's name db (client in {by})");
    assert_eq!(sent(get()), not_accepted(&expected));
    private(&settings, &format!("token = {:?}\n", token.expose()));
    assert_eq!(sent(get()), not_accepted(&format!("the token (token in {by})")));

    private(&settings, "");
    let no_token = format!(
        "; there is no token (--token-file, JARVIS_SECRETSD_TOKEN_FILE, JARVIS_SECRETSD_TOKEN, `token_file` or `token` in {by})"
    );
    let no_name = format!(" and no client's name (--client, JARVIS_SECRETSD_CLIENT or `client` in {by})");
    assert_eq!(sent(get()), format!("nothing was sent to authenticate with{no_token}{no_name}"));
    let mut by_name = get();
    by_name.args(["--client", "admin"]);
    assert_eq!(sent(by_name), not_accepted("the client's name admin (--client)") + &no_token);
    let mut by_user = get();
    by_user.env("JARVIS_SECRETSD_ADDR", format!("unix:{}", daemon.site.path("sock").display()));
    by_user.args(["--client", "admin"]);
    let expected = format!("the user id {} of this process, the client's name admin (--client)", geteuid().as_raw());
    assert_eq!(sent(by_user), not_accepted(&expected) + &no_token);
}

#[test]
fn a_command_names_the_certificate_that_it_would_show() {
    let asked = ServingDaemon::secured();
    let mut reader = asked.reader(&["get", "db_main", "--client", "admin"]);
    let certificate = crate::tls_client::data("client.pem");
    reader.env_remove("JARVIS_SECRETSD_TOKEN");
    let expected = format!(
        "db_main: not authenticated; this was sent and is not accepted: the certificate (JARVIS_SECRETSD_CERT, {}; shown only \
         if the daemon asks for one), the client's name admin (--client)",
        Path::new(&certificate).display()
    );
    assert_eq!(refusal(&asked.daemon, reader), expected);
}
