//! Tokens: what a client proves itself with, from the command that makes one to the audit log.

use std::fs;
use std::process::Command;

use jarvis_secretsd::access::Token;
use rustix::process::Signal;

use crate::client::{Answer, Client};
use crate::running::Daemon;
use crate::site::{AUDIT, BINARY, Site, mode, run, said};

/// A policy whose administrator has a token, whose `web` has these credentials, and whose `open` has none.
fn policy(admin: &Token, web: &str) -> String {
    let admin = admin.hash();
    format!(
        "[clients.admin]\nallow = [\"*\"]\ntoken_sha256 = [\"{admin}\"]\n\
         [clients.web]\nallow = [\"db_*\"]\n{web}\n[clients.open]\nallow = [\"db_*\"]\n"
    )
}

/// A daemon with that policy and a secret, which hears as many failures as there are.
fn served(admin: &Token, web: &str) -> Daemon {
    let site = Site::new();
    site.configure("127.0.0.1:0", &policy(admin, web));
    let daemon = site.start();
    presenting(&daemon, "admin", admin).store("db_main", "v");
    daemon
}

fn presenting(daemon: &Daemon, client: &str, token: &Token) -> Client {
    let authorization = format!("Bearer {}", token.expose());
    Client::with(&[("X-Jarvis-Client", client), ("Authorization", &authorization)], daemon.addr())
}

/// All of an answer but what is new each time.
fn outline(answer: &Answer) -> String {
    let changes = |line: &&str| !line.starts_with("X-Request-Id: ") && !line.starts_with("Date: ");
    answer.head.lines().filter(changes).chain([answer.body.as_str()]).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_failed_authentication_gets_the_same_401_whatever_is_wrong() {
    let [admin, web, old, none] = [(); 4].map(|()| Token::generate().unwrap());
    let hashes = format!("[\"{}\", {{ sha256 = \"{}\", expires = 2025-01-31 }}]", web.hash(), old.hash());
    let daemon = served(&admin, &format!("token_sha256 = {hashes}"));
    assert_eq!(presenting(&daemon, "web", &web).value("db_main"), "v");

    let bearer = |token: &str| format!("Bearer {token}");
    let mistyped = bearer(&web.expose().replace(&web.expose()[10..14], "0000"));
    let tries = [
        ("web", None, "no credential"),
        ("web", Some(bearer(admin.expose())), "another client's token"),
        ("web", Some(bearer(old.expose())), "expired token"),
        ("web", Some(mistyped), "mistyped token: its checksum does not fit"),
        ("web", Some(bearer("x")), "malformed token"),
        ("web", Some("Basic d2ViOng=".to_owned()), "malformed token"),
        ("web", Some("Digest x".to_owned()), "Authorization is neither Bearer nor Basic"),
        ("admin", Some(bearer(web.expose())), "another client's token"),
        ("web", Some(bearer(none.expose())), "wrong token"),
        ("nobody", Some(bearer(web.expose())), "unknown client"),
        ("nobody", None, "unknown client"),
        ("open", Some(bearer(web.expose())), "a credential, where the client has none"),
    ];
    let mut outlines = Vec::new();
    for (client, authorization, reason) in &tries {
        let authorization = authorization.as_ref().map(|text| ("Authorization", text.as_str()));
        let headers: Vec<_> = [("X-Jarvis-Client", *client)].into_iter().chain(authorization).collect();
        let answer = Client::with(&headers, daemon.addr()).get("/secret/db_main");
        assert_eq!(answer.refusal(), (401, "unauthenticated".to_owned()), "{reason}");
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
        let line = daemon.site.audited(answer.header("X-Request-Id").unwrap());
        assert_eq!((&line["event"], &line["detail"]), (&"auth_failure".into(), &(*reason).into()), "{line}");
        assert_eq!(line["client"], *client);
        outlines.push(outline(&answer));
    }
    outlines.dedup();
    assert_eq!(outlines.len(), 1, "{outlines:#?}");
}

#[test]
fn a_token_is_rolled_without_a_gap() {
    let [admin, old, new] = [(); 3].map(|()| Token::generate().unwrap());
    let mut daemon = served(&admin, &format!("token_sha256 = [\"{}\"]", old.hash()));
    let statuses = |daemon: &Daemon| [&old, &new].map(|token| presenting(daemon, "web", token).get("/secrets").status);
    assert_eq!(statuses(&daemon), [200, 401]);
    let mut in_use = presenting(&daemon, "web", &old);
    for (hashes, expected) in [
        (format!("[\"{}\", \"{}\"]", old.hash(), new.hash()), [200, 200]),
        (format!("[\"{}\"]", new.hash()), [401, 200]),
        ("[]".to_owned(), [401, 401]),
    ] {
        let text = policy(&admin, &format!("token_sha256 = {hashes}"));
        daemon.site.write("policy.toml", &text);
        daemon.signal(Signal::HUP);
        daemon.await_log(&jarvis_secretsd::audit::sha256_hex(text.as_bytes()));
        assert_eq!(statuses(&daemon), expected, "{hashes}");
        assert_eq!(in_use.get("/secrets").status, expected[0], "a connection that is open is no credential");
    }
}

#[test]
fn a_token_stands_in_no_log_and_no_answer() {
    let (admin, web) = (Token::generate().unwrap(), Token::generate().unwrap());
    let site = Site::new();
    site.configure("127.0.0.1:0", &policy(&admin, &format!("token_sha256 = [\"{}\"]", web.hash())));
    let mut serve = site.command("serve");
    serve.env("RUST_LOG", "trace");
    let daemon = site.started(serve);
    let mut answers = Vec::new();
    for client in ["admin", "web", "open", "nobody", admin.expose()] {
        let mut presented = presenting(&daemon, client, &admin);
        answers.push(presented.get("/secret/db_main"));
        answers.push(presented.get(&format!("/secrets?token={}", admin.expose())));
        answers.push(presented.ask("GET", "/secrets", &[("Authorization", admin.expose())], ""));
        answers.push(presented.post("/secret", r#"{"name":"db_main"}"#));
    }
    answers.push(Client::named("x", daemon.addr()).get("/metrics"));
    // A whole one, its digits, and a part that somebody could guess the rest of.
    let pieces = [admin.expose(), &admin.expose()[4..68], &admin.expose()[20..52]];
    let is_clean = |text: &str| pieces.iter().all(|piece| !text.contains(piece));
    for answer in answers {
        assert!(is_clean(&answer.head) && is_clean(&answer.body), "{answer:?}");
    }
    let site = daemon.stop();
    for file in ["log", AUDIT, "policy.toml"] {
        assert!(is_clean(&site.read(file)), "{file}");
    }
    assert!(site.read("log").contains("TRACE") || site.read("log").contains("DEBUG"));
}

#[test]
fn the_command_prints_a_token_and_the_line_by_which_the_policy_knows_it() {
    let output = run(&[&"token", &"web"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let (token, line) = text.trim_end().split_once('\n').unwrap();
    let token = Token::parse(token).unwrap();
    assert_eq!(line, format!("token_sha256 = [\"{}\"]", token.hash()));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("[clients.web]") && !told.contains(token.expose()), "{told}");

    let admin = Token::generate().unwrap();
    let daemon = served(&admin, line);
    assert_eq!(presenting(&daemon, "web", &token).value("db_main"), "v");
    let again = String::from_utf8(run(&[&"token", &"web"]).stdout).unwrap();
    assert_ne!(again.lines().next(), Some(token.expose()), "each is another one");
    assert_eq!(run(&[&"token", &"no name"]).status.code(), Some(2));
}

#[test]
fn init_gives_every_client_a_token_and_shows_it_once() {
    let site = Site::empty();
    let output = run(&[&"init", &site.path("etc")]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let tokens: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("token of ")?.split_once(", shown only once: "))
        .map(|(client, token)| (client.to_owned(), Token::parse(token).unwrap()))
        .collect();
    let clients: Vec<_> = tokens.iter().map(|(client, _)| client.as_str()).collect();
    assert_eq!(clients, ["backend", "db", "admin"]);
    let policy = fs::read_to_string(site.path("etc/policy.toml")).unwrap();
    for (_, token) in &tokens {
        assert!(policy.contains(&token.hash().to_string()) && !policy.contains(token.expose()));
    }
    let checked = run(&[&"check", &"--config", &site.path("etc/config.toml")]);
    assert!(checked.status.success(), "{checked:?}");
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(!said.contains("header alone"), "{said}");

    // The policy that it wrote, with state in a place that the test may use.
    site.configure("127.0.0.1:0", &policy);
    let daemon = site.start();
    for (client, token) in &tokens {
        assert_eq!(presenting(&daemon, client, token).get("/secrets").status, 200, "{client}");
        assert_eq!(daemon.client(client).get("/secrets").status, 401, "{client}");
    }
}

#[test]
fn a_token_can_be_written_to_a_file_while_its_entry_for_the_policy_is_printed() {
    let site = Site::empty();
    let path = site.path("web.token");
    let output = run(&[&"token", &"we.b", &"--output", &path]);
    assert!(output.status.success(), "{output:?}");
    let text = site.read("web.token");
    let token = Token::parse(text.strip_suffix('\n').unwrap()).unwrap();
    assert_eq!(mode(&path), 0o600);
    let entry = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(entry, format!("[clients.\"we.b\"]\ntoken_sha256 = [\"{}\"]\n", token.hash()));
    assert!(!said(&output).contains(token.expose()));

    let again = run(&[&"token", &"web", &"--output", &path]);
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stdout.is_empty() && said(&again).contains("web.token: exists already, and was left unchanged"));
    assert_eq!(site.read("web.token"), text);

    // Nobody would have its line for the policy.
    let lost = site.path("lost.token");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(BINARY).args(["token", "web", "--output"]).arg(&lost).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!lost.exists());
}

#[test]
fn what_token_prints_is_a_token_file_as_it_is() {
    let site = Site::new();
    let admin = Token::generate().unwrap();
    let printed = run(&[&"token", &"web"]).stdout;
    let text = String::from_utf8(printed.clone()).unwrap();
    site.configure("127.0.0.1:0", &policy(&admin, text.lines().nth(1).unwrap()));
    let daemon = site.start();
    let get = |file: &str| {
        let mut list = Command::new(BINARY);
        list.args([
            "list",
            "--client-config",
            site.write("client.toml", "").to_str().unwrap(),
            "--addr",
            &format!("http://{}", daemon.addr()),
        ]);
        list.env("JARVIS_SECRETSD_TOKEN_FILE", site.write("file", file))
            .env_remove("JARVIS_SECRETSD_TOKEN")
            .output()
            .unwrap()
    };
    let (token, line) = text.split_once('\n').unwrap();
    for good in [text.as_str(), token, &format!("{token}\n")] {
        let output = get(good);
        assert!(output.status.success(), "{good:?}: {}", said(&output));
    }
    let other = admin.policy_line();
    for bad in [format!("{token}\n{other}\n"), format!("{line}{token}\n"), format!("{token}\n{token}\n")] {
        let output = get(&bad);
        assert_eq!(output.status.code(), Some(78), "{bad:?}: {}", said(&output));
    }
}

#[test]
fn init_writes_each_token_to_a_file_and_prints_none() {
    let site = Site::empty();
    let init = || run(&[&"init", &site.path("etc"), &"--tokens", &site.path("deep/tokens")]);
    let output = init();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(mode(&site.path("deep/tokens")), 0o700);
    let policy = site.read("etc/policy.toml");
    for client in ["backend", "db", "admin"] {
        let name = format!("deep/tokens/{client}");
        let text = site.read(&name);
        let token = Token::parse(text.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(mode(&site.path(&name)), 0o600);
        assert!(policy.contains(&format!("[clients.{client}]\n{}\n", token.policy_line())), "{policy}");
        assert!(!said(&output).contains(token.expose()));
    }

    // One that is there already is nobody's to replace, and nothing else is left then.
    fs::remove_dir_all(site.path("etc")).unwrap();
    fs::remove_file(site.path("deep/tokens/backend")).unwrap();
    let before = site.read("deep/tokens/db");
    let output = init();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("tokens/db: exists already, and was left unchanged"), "{}", said(&output));
    assert_eq!(site.read("deep/tokens/db"), before);
    assert!(!site.path("deep/tokens/backend").exists() && !site.path("etc/policy.toml").exists());
}

#[test]
fn clients_with_tokens_may_be_served_on_an_address_that_others_reach() {
    let site = Site::new();
    let admin = Token::generate().unwrap();
    let everywhere = |policy: &str| {
        site.configure("0.0.0.0:0", policy);
        site.command("check").output().unwrap()
    };
    let policy = policy(&admin, "token_sha256 = []");
    let refused = everywhere(&policy);
    assert_eq!(refused.status.code(), Some(78));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("X-Jarvis-Client header: open;") && why.contains("jarvis-secretsd token"), "{why}");
    let (guarded, _) = policy.split_once("[clients.open]").unwrap();
    assert!(everywhere(guarded).status.success());
}
