//! A token names its client: the client header may be left out beside it, and must not contradict it.

use jarvis_secretsd::access::Token;

use crate::client::{Answer, Client};
use crate::client_program::{ServingDaemon, printed, program};
use crate::running::Daemon;
use crate::site::{Site, said};

const CLIENT: &str = "X-Jarvis-Client";

/// A daemon with these clients, who may read `db_*`, and their credentials; `admin` has none, and its header is enough.
fn served(clients: &[(&str, String)], security: &str) -> Daemon {
    let site = Site::new();
    let mut policy = "[clients.admin]\nallow = [\"*\"]\n".to_owned();
    for (name, credentials) in clients {
        policy += &format!("[clients.{name}]\nallow = [\"db_*\"]\n{credentials}\n");
    }
    site.configure("127.0.0.1:0", &policy);
    site.edit("config.toml", "[security]\n", &format!("[security]\n{security}"));
    let daemon = site.start();
    daemon.client("admin").store("db_main", "v");
    daemon
}

fn tokens<const N: usize>() -> [Token; N] {
    [(); N].map(|()| Token::generate().unwrap())
}

fn known(token: &Token) -> String {
    format!("token_sha256 = [\"{}\"]", token.hash())
}

fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.expose())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::encode(format!("{user}:{password}")))
}

fn ask(daemon: &Daemon, headers: &[(&str, &str)]) -> Answer {
    Client::with(headers, daemon.addr()).get("/secret/db_main")
}

/// The client as which the request was authenticated.
#[track_caller]
fn client_of(daemon: &Daemon, headers: &[(&str, &str)]) -> String {
    let answer = ask(daemon, headers);
    assert_eq!((answer.status, answer.text("value").as_str()), (200, "v"), "{headers:?}");
    daemon.site.audited(answer.header("X-Request-Id").unwrap())["client"].as_str().unwrap().to_owned()
}

/// The client that an unauthenticated request claimed, and the reason, which only the audit log has.
#[track_caller]
fn refusal(daemon: &Daemon, headers: &[(&str, &str)]) -> (Option<String>, String) {
    let answer = ask(daemon, headers);
    assert_eq!(answer.refusal(), (401, "unauthenticated".to_owned()), "{headers:?}");
    assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"), "no browser asks for a password: {headers:?}");
    let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
    (line["client"].as_str().map(str::to_owned), line["detail"].as_str().unwrap().to_owned())
}

fn claimed(client: Option<&str>, reason: &str) -> (Option<String>, String) {
    (client.map(str::to_owned), reason.to_owned())
}

#[test]
fn a_token_alone_is_enough_and_a_header_beside_it_must_agree() {
    let [web, db, none] = tokens();
    let daemon = served(&[("web", known(&web)), ("db", known(&db))], "");
    for (token, client) in [(&web, "web"), (&db, "db")] {
        assert_eq!(client_of(&daemon, &[("Authorization", &bearer(token))]), client);
        assert_eq!(client_of(&daemon, &[("Authorization", &bearer(token)), (CLIENT, "")]), client);
        assert_eq!(client_of(&daemon, &[("Authorization", &bearer(token)), (CLIENT, client)]), client);
    }
    let disagreeing = |client| refusal(&daemon, &[("Authorization", &bearer(&web)), (CLIENT, client)]);
    assert_eq!(disagreeing("db"), claimed(Some("db"), "another client's token"));
    assert_eq!(disagreeing("nobody"), claimed(Some("nobody"), "unknown client"));
    assert_eq!(disagreeing("admin"), claimed(Some("admin"), "a credential, where the client has none"));
    assert_eq!(refusal(&daemon, &[("Authorization", &bearer(&none))]), claimed(None, "wrong token"));
}

#[test]
fn basic_means_the_same_as_both_headers() {
    let [web, db] = tokens();
    let daemon = served(&[("web", known(&web)), ("db", known(&db))], "");
    let (right, tokens_own) = (basic("web", web.expose()), basic("", web.expose()));
    for authorization in [&right, &tokens_own, &right.replace("Basic ", "bASIC   ")] {
        assert_eq!(client_of(&daemon, &[("Authorization", authorization)]), "web", "{authorization}");
        assert_eq!(client_of(&daemon, &[("Authorization", authorization), (CLIENT, "web")]), "web", "{authorization}");
    }
    let refused = |authorization: &str| refusal(&daemon, &[("Authorization", authorization)]);
    assert_eq!(refused(&basic("db", web.expose())), claimed(Some("db"), "another client's token"));
    assert_eq!(refused(&basic("nobody", web.expose())), claimed(Some("nobody"), "unknown client"));
    assert_eq!(refused(&basic("we b", web.expose())), claimed(None, "malformed client name"));
    assert_eq!(
        refused(&basic(web.expose(), web.expose())),
        claimed(None, "unknown client"),
        "no token is written down"
    );
    assert_eq!(refused(&basic("web", "")), claimed(Some("web"), "malformed token"));
    assert_eq!(refused(&basic("web", &format!("x:{}", web.expose()))), claimed(Some("web"), "malformed token"));
    assert_eq!(refused(&basic("web", &bearer(&web))), claimed(Some("web"), "malformed token"));
    let no_colon = format!("Basic {}", base64::encode(web.expose()));
    for malformed in ["Basic", "Basic !", "Basic d2Vi", "Basic d2VijA==", &no_colon, &format!("{right}="), &right[..20]]
    {
        assert_eq!(refused(malformed), claimed(None, "malformed Basic credentials"), "{malformed}");
    }
    let both = refusal(&daemon, &[("Authorization", &right), (CLIENT, "db")]);
    assert_eq!(both, claimed(Some("db"), "X-Jarvis-Client and Basic name different clients"));
}

#[test]
fn a_token_of_several_clients_needs_the_header_and_is_warned_about() {
    let [shared, web] = tokens();
    let two = format!("token_sha256 = [\"{}\", \"{}\"]", shared.hash(), web.hash());
    let daemon = served(&[("web", two), ("db", known(&shared)), ("ci", known(&Token::generate().unwrap()))], "");
    for client in ["web", "db"] {
        assert_eq!(client_of(&daemon, &[("Authorization", &bearer(&shared)), (CLIENT, client)]), client);
        assert_eq!(client_of(&daemon, &[("Authorization", &basic(client, shared.expose()))]), client);
    }
    let unnamed = refusal(&daemon, &[("Authorization", &bearer(&shared))]);
    assert_eq!(unnamed, claimed(None, "no client header, and several clients with this credential"));
    assert_eq!(client_of(&daemon, &[("Authorization", &bearer(&web))]), "web");
    let warning = "clients that share a token, so a request with it must name its client (X-Jarvis-Client): db, web";
    assert!(daemon.log().contains(warning), "{}", daemon.log());
    let checked = daemon.site.command("check").output().unwrap();
    assert!(said(&checked).contains(warning), "{checked:?}");
}

#[test]
fn the_audit_log_says_that_a_token_has_expired_and_whose_it_was() {
    let [old, moved] = tokens();
    let ended = |token: &Token| format!("{{ sha256 = \"{}\", expires = 2025-01-31 }}", token.hash());
    let web = format!("token_sha256 = [{}, {}]", ended(&old), ended(&moved));
    let daemon = served(&[("web", web), ("db", known(&moved))], "");
    assert_eq!(refusal(&daemon, &[("Authorization", &bearer(&old))]), claimed(Some("web"), "expired token"));
    assert_eq!(
        refusal(&daemon, &[("Authorization", &basic("web", old.expose()))]),
        claimed(Some("web"), "expired token")
    );
    // It went from one client to the other, and is that of one alone now.
    assert_eq!(client_of(&daemon, &[("Authorization", &bearer(&moved))]), "db");
    let still = refusal(&daemon, &[("Authorization", &bearer(&moved)), (CLIENT, "web")]);
    assert_eq!(still, claimed(Some("web"), "expired token"));
}

#[test]
fn where_the_header_is_not_required_a_token_still_names_its_client() {
    let [web, none] = tokens();
    let daemon = served(&[("web", known(&web)), ("anonymous", String::new())], "require_client_id_header = false\n");
    assert_eq!(client_of(&daemon, &[]), "anonymous");
    assert_eq!(client_of(&daemon, &[("Authorization", &bearer(&web))]), "web");
    assert_eq!(client_of(&daemon, &[("Authorization", &basic("web", web.expose()))]), "web");
    assert_eq!(refusal(&daemon, &[("Authorization", &bearer(&none))]), claimed(None, "wrong token"));
}

#[test]
fn over_the_unix_socket_a_token_counts_before_the_user() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    let path = asked.daemon.site.path("sock");
    let asks = |headers: &[(&str, &str)]| {
        let answer = Client::unix(headers, &path).get("/secret/db_main");
        assert_eq!(answer.status, 200, "{headers:?}");
        asked.daemon.site.audited(answer.header("X-Request-Id").unwrap())["client"].clone()
    };
    let token = format!("Bearer {}", asked.token);
    assert_eq!(asks(&[]), "local");
    assert_eq!(asks(&[("Authorization", &token)]), "admin");
    assert_eq!(asks(&[("Authorization", &token), (CLIENT, "local")]), "local", "one credential that matches is enough");
}

#[test]
fn the_commands_need_no_client_beside_a_token() {
    let asked = ServingDaemon::plain();
    asked.store("db_main", "v");
    let mut get = program(&asked.daemon.site, &["get", "db_main"]);
    get.env("JARVIS_SECRETSD_ADDR", asked.addr()).env("JARVIS_SECRETSD_TOKEN", &asked.token);
    assert_eq!(printed(get.output().unwrap()), "v");
    assert_eq!(asked.daemon.site.audit(1).last().unwrap()["client"], "admin");
}
