//! A master key that is wrapped: what unwraps it is a device, played by a program that can be away, silent or wrong.

mod commands;
mod limits;
mod memory;
mod socket;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use std::thread;

use rustix::process::Signal;

use crate::running::Daemon;
use crate::site::{AUDIT, MASTER_KEY, Site, VAULT, eventually, said};
use crate::trusted::{Trusted, processes_with};

/// A device, and a site whose configuration says that it wraps the master key.
struct Stage {
    site: Site,
    device: Trusted,
}

/// What wraps: the key in base64, with other letters.
const WRAP: &str = r#"#!/bin/sh
printf wrapped:; base64 -w0 | tr A-Za-z N-ZA-Mn-za-m
"#;

/// What unwraps; what is put beside it says how it fails.
const UNWRAP: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo x >>asked
if [ -e silent ]; then
    trap '' TERM
    sleep 3600 &
    wait
fi
if [ -e absent ]; then
    printf 'error: no such "device"\n\nAborting.\n' >&2
    exit 1
fi
sed s/^wrapped:// | tr N-ZA-Mn-za-m A-Za-z | base64 -d
"#;

impl Stage {
    fn new() -> Self {
        let (site, device) = (Site::new(), Trusted::new());
        device.program("wrap", WRAP);
        device.program("unwrap", UNWRAP);
        let stage = Self { site, device };
        stage.configure("");
        stage
    }

    /// Says in the configuration that the device wraps the key, and `more`.
    fn configure(&self, more: &str) {
        self.configure_filters(&format!("unwrap = {}\nwrap = {}\n{more}", self.words("unwrap"), self.words("wrap")));
    }

    /// Has this as the table of the configuration.
    fn configure_filters(&self, table: &str) {
        let text = self.site.read("config.toml");
        let rest = text.split("[master_key]\n").next().unwrap();
        self.site.write("config.toml", &format!("{rest}[master_key]\n{table}\n"));
    }

    /// No key is wrapped any more.
    fn configure_nothing(&self) {
        let text = self.site.read("config.toml");
        self.site.write("config.toml", text.split("[master_key]\n").next().unwrap());
    }

    /// The device's program `name` as the configuration has it, with an argument that nobody is to be told.
    fn words(&self, name: &str) -> String {
        format!("[{:?}, \"pin=12345678\"]", self.device.path(name))
    }

    /// The device is from now on as `how` says.
    fn let_be(&self, how: &str) {
        fs::write(self.device.path(how), "").unwrap();
    }

    /// The device is no longer so.
    fn let_no_longer_be(&self, how: &str) {
        fs::remove_file(self.device.path(how)).unwrap();
    }

    /// How often the device was asked.
    fn asked(&self) -> usize {
        fs::read_to_string(self.device.path("asked")).unwrap_or_default().lines().count()
    }

    fn await_asked(&self, times: usize) {
        eventually("the device is asked", || (self.asked() >= times).then_some(()));
    }

    /// A daemon that has asked the device, which is silent, and waits for it.
    fn waiting(&self) -> Daemon {
        self.let_be("silent");
        let asked = self.asked();
        let daemon = Daemon::spawn(self.site.command("serve"), &self.site, "waiting");
        self.await_asked(asked + 1);
        daemon
    }

    /// A site whose daemon has run, and has a secret.
    fn with_a_secret() -> Self {
        let stage = Self::new();
        let daemon = stage.site.start();
        daemon.client("admin").store("db_main", "v");
        daemon.stop();
        stage
    }

    fn command(&self, command: &str) -> Output {
        self.site.command(command).output().unwrap()
    }

    /// The daemon does not start, with this exit status, and says why.
    #[track_caller]
    fn refused(&self, status: i32) -> String {
        let mut daemon = Daemon::spawn(self.site.command("serve"), &self.site, "refused");
        assert_eq!(daemon.ended().code(), Some(status), "{}", daemon.log());
        daemon.log().lines().last().unwrap().to_owned()
    }

    /// The daemon starts with this table of the configuration, and serves the secret.
    #[track_caller]
    fn serves(&self) {
        let daemon = self.site.start();
        assert_eq!(daemon.client("admin").value("db_main"), "v");
        daemon.stop();
    }

    /// The key in the clear, by the device.
    fn key(&self) -> Vec<u8> {
        let wrapped = fs::read_to_string(self.site.path(MASTER_KEY)).unwrap();
        let turned = wrapped.strip_prefix("wrapped:").unwrap().bytes().map(|byte| match byte {
            b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
            b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
            _ => byte,
        });
        base64::decode(turned.collect::<Vec<_>>()).unwrap()
    }

    /// Everything in the directories of the state.
    fn state(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let directories = [VAULT, AUDIT].map(|path| self.site.path(path).parent().unwrap().to_owned());
        let files = directories.iter().flat_map(|path| fs::read_dir(path).unwrap());
        files.map(|file| file.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

#[test]
fn the_first_start_wraps_the_key_and_every_other_one_unwraps_it() {
    let stage = Stage::with_a_secret();
    let key = stage.key();
    assert_eq!(key.len(), 32);
    for (path, content) in stage.state() {
        for form in [&key, base64::encode(&key).as_bytes()] {
            assert!(!content.windows(form.len()).any(|window| window == form), "{}", path.display());
        }
    }
    let mut daemon = stage.site.start();
    let log = daemon.log();
    let program = stage.device.path("unwrap").display().to_string();
    let unwrapped = log.find("Unwrapped the master key in ").unwrap();
    assert!(log[unwrapped..].contains(&format!(" ms ({program})")) && !log.contains("12345678"), "{log}");
    assert!(unwrapped < log.find("Loaded master key from ").unwrap(), "{log}");
    assert_eq!(daemon.client("admin").value("db_main"), "v");
    let metrics = daemon.client("admin").metrics();
    assert!(metrics.contains("jarvis_secretsd_master_key_unwraps_total{result=\"success\"} 1\n"), "{metrics}");
    daemon.await_log("Server started successfully");
    let site = daemon.stop();
    let audit = site.audit(1);
    let start = audit.iter().rfind(|line| line["event"] == "server_start").unwrap();
    let detail = start["detail"].as_str().unwrap();
    assert!(detail.ends_with(&format!(", master key unwrapped by {program}")), "{detail}");
    site.verify_audit();
}

#[test]
fn a_rekey_at_work_wraps_the_new_key_and_nobody_notices() {
    let stage = Stage::with_a_secret();
    let before = stage.key();
    let daemon = stage.site.start();
    let mut reader = daemon.client("admin");
    let addr = format!("http://{}", daemon.addr());
    let rekeyed = stage.site.command("rekey").args(["--addr", &addr, "--client", "admin"]).output().unwrap();
    assert!(rekeyed.status.success(), "{}", said(&rekeyed));
    assert_eq!(reader.value("db_main"), "v");
    assert_ne!(stage.key(), before);
    daemon.stop();
    stage.serves();
}

#[test]
fn a_rekey_whose_device_is_away_changes_nothing_and_says_why_also_in_the_audit_log() {
    let stage = Stage::with_a_secret();
    let daemon = stage.site.start();
    let mut admin = daemon.client("admin");
    let wrapped = fs::read(stage.site.path(MASTER_KEY)).unwrap();
    stage.site.lay_next_key(&wrapped);
    stage.let_be("absent");
    let (status, why) = admin.post("/rekey", "{}").refusal();
    assert_eq!(status, 500, "{why}");
    assert_eq!(admin.value("db_main"), "v");
    let audit = stage.site.audit(1);
    let line = audit.iter().rfind(|line| line["event"] == "rekey").unwrap();
    assert_eq!(line["result"], "error");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains(r#"[master_key] unwrap: exit status 1: error: no such "device"; Aborting."#), "{detail}");
    assert!(admin.metrics().contains("jarvis_secretsd_master_key_unwraps_total{result=\"failure\"} 1\n"));
}

#[test]
fn a_rekey_whose_device_is_silent_fails_after_its_time_and_holds_nobody_up() {
    let stage = Stage::with_a_secret();
    stage.configure("timeout_secs = 1");
    let daemon = stage.site.start();
    stage.site.lay_next_key(&fs::read(stage.site.path(MASTER_KEY)).unwrap());
    stage.let_be("silent");
    let asked = stage.asked();
    let mut admin = daemon.client("admin");
    let rekeyed = thread::spawn(move || admin.post("/rekey", "{}").refusal());
    stage.await_asked(asked + 1);
    assert_eq!(daemon.client("admin").value("db_main"), "v");
    let (status, _) = rekeyed.join().unwrap();
    assert_eq!(status, 500);
    let audit = stage.site.audit(1);
    let line = audit.iter().rfind(|line| line["event"] == "rekey").unwrap();
    assert!(line["detail"].as_str().unwrap().contains("[master_key] unwrap: took longer than timeout_secs"), "{line}");
    assert_eq!(daemon.client("admin").value("db_main"), "v");
}

/// What the filter prints or does, and what is then said. None of them is started on anything else than the wrapped key.
#[test]
fn a_filter_that_fails_is_told_with_all_it_has_said_and_nothing_is_changed() {
    let stage = Stage::with_a_secret();
    let state = || stage.state().into_iter().filter(|(path, _)| path.starts_with(stage.site.path("state/secrets")));
    let before: Vec<_> = state().collect();
    let cases = [
        ("exit 3", "exit status 3"),
        ("echo first >&2; echo >&2; echo last >&2; exit 1", "exit status 1: first; last"),
        (r"printf '\033[2Jbad' >&2; exit 1", r"exit status 1: \u{1b}[2Jbad"),
        ("kill -11 $$", "ended by signal 11"),
        ("exit 0", "printed nothing; a master key is exactly 32 bytes, or their base64"),
        ("head -c 31 /dev/zero", "printed 31 bytes; a master key is exactly 32, or their base64"),
        ("head -c 33 /dev/zero", "printed 33 bytes; a master key is exactly 32, or their base64"),
        ("head -c 43 /dev/zero", "printed 43 bytes; a master key is exactly 32, or their base64"),
        ("head -c 2000000 /dev/zero", "printed more than 1 MiB"),
        ("head -c 32 /dev/urandom; echo bad pad >&2; exit 1", "exit status 1: bad pad"),
        ("head -c 32 /dev/zero; printf AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= >&2; exit 1", "exit status 1: ***"),
    ];
    for (number, (script, why)) in cases.into_iter().enumerate() {
        let program = stage.device.program(&format!("case-{number}"), &format!("#!/bin/sh\n{script}\n"));
        stage.configure_filters(&format!("unwrap = [{program:?}]"));
        let said = stage.refused(78);
        assert!(said.ends_with(&format!("[master_key] unwrap: {why}")), "{said}");
    }
    let another = stage.device.program("another", "#!/bin/sh\nhead -c 32 /dev/zero\n");
    stage.configure_filters(&format!("unwrap = [{another:?}]"));
    let said = stage.refused(1);
    assert!(said.contains("vault.json: the master key does not open this vault"), "{said}");
    assert_eq!(state().collect::<Vec<_>>(), before);
    let as_text = stage.device.program("text", &format!("#!/bin/sh\n{:?} | base64\n", stage.device.path("unwrap")));
    stage.configure_filters(&format!("unwrap = [{as_text:?}]"));
    stage.serves();
}

#[test]
fn a_filter_that_reads_nothing_can_still_succeed() {
    let stage = Stage::with_a_secret();
    let key = base64::encode(stage.key());
    let program = stage.device.program("unread", &format!("#!/bin/sh\nexec <&-\necho {key}\n"));
    stage.configure_filters(&format!("unwrap = [{program:?}]"));
    stage.serves();
}

#[test]
fn a_filter_has_only_what_it_needs_in_its_environment() {
    let stage = Stage::with_a_secret();
    let program = stage.device.program(
        "environment",
        &format!(
            "#!/bin/sh\ncd \"$(dirname \"$0\")\" || exit 1\nenv | sort >env\numask >mask\npwd\nexec {:?}\n",
            "/bin/false"
        ),
    );
    stage.configure_filters(&format!("unwrap = [{program:?}]"));
    let mut serve = stage.site.command("serve");
    serve.env("CREDENTIALS_DIRECTORY", "/run/credentials/it").env("SECRET", "s");
    let mut daemon = Daemon::spawn(serve, &stage.site, "refused");
    assert_eq!(daemon.ended().code(), Some(78));
    let text = fs::read_to_string(stage.device.path("env")).unwrap();
    // The shell adds these.
    let own = |line: &&str| !["PWD=", "OLDPWD=", "_=", "SHLVL="].iter().any(|name| line.starts_with(name));
    let names: Vec<_> = text.lines().filter(own).filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(names, ["CREDENTIALS_DIRECTORY", "LC_ALL", "PATH"]);
    assert_eq!(fs::read_to_string(stage.device.path("mask")).unwrap().trim(), "0077");
}

#[test]
fn a_program_that_others_can_change_is_not_run() {
    let stage = Stage::with_a_secret();
    fs::set_permissions(stage.device.path("unwrap"), Permissions::from_mode(0o777)).unwrap();
    let asked = stage.asked();
    let said = stage.refused(78);
    assert!(said.contains("[master_key] unwrap: ") && said.contains("can be written by others"), "{said}");
    assert_eq!(stage.asked(), asked);
}

#[test]
fn a_key_in_the_clear_is_refused_where_a_wrapped_one_is_announced_and_the_other_way_round() {
    let stage = Stage::new();
    stage.configure_nothing();
    stage.site.start().stop();
    stage.configure("");
    let said = stage.refused(78);
    assert!(said.contains("master.key: is a key in the clear, and [master_key] says that it is wrapped"), "{said}");
    assert_eq!(stage.asked(), 0);

    let wrapped = Stage::with_a_secret();
    wrapped.configure_nothing();
    let said = wrapped.refused(78);
    assert!(said.contains("if it is wrapped, [master_key] unwrap must say by what it is unwrapped"), "{said}");
}

#[test]
fn a_first_start_whose_key_cannot_be_wrapped_leaves_nothing() {
    let stage = Stage::new();
    let cases = [
        ("", "is missing, and a key has to be wrapped"),
        ("cat", "printed 32 bytes; a wrapped key has more than the key itself"),
        ("printf 'behind the title: '; cat", "printed the key itself, in the clear"),
        ("printf 'in base64: '; base64", "printed the key itself, in the clear"),
        ("exit 0", "printed nothing"),
        ("head -c 65537 /dev/zero", "printed 65537 bytes; a wrapped key has at most 65536"),
        ("echo no device >&2; exit 1", "exit status 1: no device"),
    ];
    for (number, (script, why)) in cases.into_iter().enumerate() {
        let program = stage.device.program(&format!("case-{number}"), &format!("#!/bin/sh\n{script}\n"));
        let wrap = if script.is_empty() { String::new() } else { format!("wrap = [{program:?}]") };
        stage.configure_filters(&format!("unwrap = {}\n{wrap}", stage.words("unwrap")));
        let said = stage.refused(78);
        assert!(said.contains("[master_key] wrap: ") && said.contains(why), "{said}");
        assert!(!stage.site.path(MASTER_KEY).exists() && !stage.site.path(VAULT).exists());
    }
    let rubbish = stage.device.program("rubbish", "#!/bin/sh\nhead -c 64 /dev/zero | base64 -w0\n");
    stage.configure_filters(&format!("unwrap = {}\nwrap = [{rubbish:?}]", stage.words("unwrap")));
    let said = stage.refused(78);
    assert!(said.contains("[master_key] unwrap: "), "what wrap prints must unwrap: {said}");
    assert!(!stage.site.path(MASTER_KEY).exists());
}

#[test]
fn a_silent_device_is_given_up_after_its_time_and_nothing_of_the_filter_is_left() {
    let stage = Stage::with_a_secret();
    stage.let_be("silent");
    stage.configure("timeout_secs = 1");
    let said = stage.refused(78);
    assert!(said.ends_with("[master_key] unwrap: took longer than timeout_secs"), "{said}");
    assert!(processes_with(stage.device.path("unwrap").to_str().unwrap()).is_empty());
}

#[test]
fn a_signal_ends_a_start_that_waits_and_what_it_waits_for() {
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let stage = Stage::with_a_secret();
        stage.configure("timeout_secs = 3600");
        let mut daemon = stage.waiting();
        daemon.signal(signal);
        assert!(!daemon.ended().success());
        eventually("nothing of the filter is left", || {
            processes_with(stage.device.path("unwrap").to_str().unwrap()).is_empty().then_some(())
        });
    }
}
