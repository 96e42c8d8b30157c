//! The audit log, checked by openssl and sha256sum alone: what we sign is what everybody else can verify.

mod needs;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jarvis_secretsd::audit::{Entry, Event, Found};
use jarvis_secretsd::base::clock::Clock;

fn openssl_accepts(dir: &Path, message: &str, signature: &str) -> bool {
    fs::write(dir.join("message"), message).unwrap();
    let mut decode = Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    decode.stdin.take().unwrap().write_all(signature.as_bytes()).unwrap();
    fs::write(dir.join("signature"), decode.wait_with_output().unwrap().stdout).unwrap();
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "audit.sign.pub", "-rawin", "-in", "message", "-sigfile"];
    let status = Command::new("openssl").args(verify).arg("signature").current_dir(dir).output().unwrap().status;
    status.success()
}

fn sha256sum(dir: &Path, line: &str) -> String {
    fs::write(dir.join("line"), line).unwrap();
    let output = Command::new("sha256sum").arg("line").current_dir(dir).output().unwrap().stdout;
    String::from_utf8(output).unwrap()[..64].to_owned()
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.split(&format!(",\"{name}\":\"")).nth(1)?;
    value.split('"').next()
}

fn a_log(dir: &Path) -> PathBuf {
    let path = dir.join("audit.jsonl");
    let log = Found::look(&path).unwrap().open(Clock::system()).unwrap();
    for batch in [1, 3, 1, 2] {
        let entry = Entry { client: Some("b\"ü\n".to_owned()), ..Entry::new(Event::GetSecret) };
        log.write_synced(vec![entry; batch]).unwrap();
    }
    path
}

#[test]
fn openssl_and_sha256sum_find_every_signature_and_the_whole_chain_good() {
    if !needs::is_installed("openssl") || !needs::is_installed("sha256sum") {
        return;
    }
    let dir = std::env::temp_dir().join(format!("jarvis-openssl-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    let text = fs::read_to_string(a_log(&dir)).unwrap();
    let mut prev = "0".repeat(64);
    let mut signed = 0;
    for line in text.lines() {
        assert_eq!(field(line, "prev"), Some(&*prev));
        prev = sha256sum(&dir, line);
        if let Some(signature) = field(line, "signature") {
            let message = format!("{}}}", line.split(",\"signature\"").next().unwrap());
            assert!(openssl_accepts(&dir, &message, signature), "{line}");
            assert!(!openssl_accepts(&dir, &message.replace("get_secret", "get_secreT"), signature));
            signed += 1;
        }
    }
    assert_eq!((text.lines().count(), signed), (7, 4), "one signature for each batch");
    fs::remove_dir_all(&dir).unwrap();
}
