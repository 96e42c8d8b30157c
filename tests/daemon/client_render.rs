//! `render`: a file out of a template, whole or not at all.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

use rustix::process::{getegid, geteuid};

use crate::client_program::{ServingDaemon, failure, printed};
use crate::needs;
use crate::site::{NOBODY, audit_fields};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn placeholders_become_values_each_of_which_is_read_once() {
    let asked = ServingDaemon::plain();
    asked.store("db.password", "a{{ b }}\n\"c\"");
    asked.store("key", "k");
    let template = asked.daemon.site.write("t", "[db]\np = {{ db.password }}{{key}}\r\n{{ \"{{\" }} key }} {{ key }}");
    let rendered = printed(asked.local(&["render", template.to_str().unwrap()]).output().unwrap());
    assert_eq!(rendered, "[db]\np = a{{ b }}\n\"c\"k\r\n{{ key }} k");
    let lines = asked.daemon.site.audit(1);
    let read: Vec<_> =
        lines.iter().map(audit_fields).filter(|line| line[0] == Some("get_secret")).map(|line| line[2]).collect();
    assert_eq!(read, [Some("db.password"), Some("key")]);
}

#[test]
fn a_template_may_come_from_standard_input() {
    let asked = ServingDaemon::plain();
    asked.store("key", "k");
    let mut program = asked.local(&["render", "-"]);
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"<{{ key }}>").unwrap();
    assert_eq!(printed(child.wait_with_output().unwrap()), "<k>");
}

#[test]
fn the_file_is_private_and_replaced_in_one_step() {
    let asked = ServingDaemon::plain();
    asked.store("key", "k");
    let site = &asked.daemon.site;
    let template = site.write("t", "new {{ key }}");
    let output = site.write("out", "old");
    let (template, path) = (template.to_str().unwrap(), output.to_str().unwrap());
    fs::set_permissions(&output, PermissionsExt::from_mode(0o644)).unwrap();
    let mut open = fs::File::open(&output).unwrap();

    let printed_nothing = printed(asked.local(&["render", template, "--output", path]).output().unwrap());
    assert_eq!((printed_nothing.as_str(), site.read("out").as_str(), mode(&output)), ("", "new k", 0o600));
    // Who had the old file open still reads that one, whole.
    assert_eq!(std::io::read_to_string(&mut open).unwrap(), "old");

    printed(asked.local(&["render", template, "--output", path, "--mode", "640"]).output().unwrap());
    assert_eq!(mode(&output), 0o640);
    let names = fs::read_dir(site.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let beside = names.filter(|name| name.to_string_lossy().starts_with("out"));
    assert_eq!(beside.count(), 1, "nothing is left beside it");
}

#[test]
fn a_mistake_in_the_template_is_reported_with_its_place_and_nothing_is_written() {
    let asked = ServingDaemon::plain();
    asked.store("key", "k");
    let site = &asked.daemon.site;
    let output = site.write("out", "old");
    for (text, status, why) in [
        ("{{ key }}\n é {{ none }}", 3, ":2:4: none: there is no secret none"),
        ("{{ key }}\n{{ key", 1, ":2:1: {{ without }} on its line; write {{ \"{{\" }} for two braces"),
        ("{{ key }}{{ a b }}", 1, ":1:10: this is neither {{ name }} nor {{ \"{{\" }}"),
    ] {
        let template = site.write("t", text);
        let arguments = ["render", template.to_str().unwrap(), "--output", output.to_str().unwrap()];
        let told = failure(&asked.local(&arguments).output().unwrap(), status);
        assert_eq!(told, format!("{}{why}", template.display()));
        assert_eq!(site.read("out"), "old");
        // Nor is a part printed.
        let told = failure(&asked.local(&arguments[..2]).output().unwrap(), status);
        assert_eq!(told, format!("{}{why}", template.display()));
    }
    fs::write(site.path("t"), b"ab\n\xff").unwrap();
    let told = failure(&asked.local(&["render", site.path("t").to_str().unwrap()]).output().unwrap(), 1);
    assert_eq!(told, format!("{}:2:1: is not UTF-8", site.path("t").display()));
}

#[test]
fn many_that_write_the_same_file_at_once_all_succeed_and_leave_it_whole_and_nothing_else() {
    let asked = ServingDaemon::plain();
    let value = "k".repeat(60_000);
    asked.store("key", &value);
    let site = &asked.daemon.site;
    let template = site.write("t", "{{ key }}{{ key }}");
    fs::create_dir(site.path("rendered")).unwrap();
    let output = site.path("rendered/out");
    for _ in 0..4 {
        let arguments = ["render", template.to_str().unwrap(), "--output", output.to_str().unwrap()];
        let running: Vec<_> = (0..8).map(|_| asked.local(&arguments).spawn().unwrap()).collect();
        for mut render in running {
            assert!(render.wait().unwrap().success());
        }
        assert_eq!(fs::read_to_string(&output).unwrap(), value.repeat(2));
        assert_eq!(fs::read_dir(site.path("rendered")).unwrap().count(), 1);
    }
}

#[test]
fn only_a_file_is_replaced() {
    let asked = ServingDaemon::plain();
    asked.store("key", "k");
    let site = &asked.daemon.site;
    let template = site.write("t", "{{ key }}");
    symlink("/dev/null", site.path("link")).unwrap();
    for output in [site.path("link"), site.path("")] {
        let arguments = ["render", template.to_str().unwrap(), "--output", output.to_str().unwrap()];
        let why = failure(&asked.local(&arguments).output().unwrap(), 1);
        assert!(why.contains("is not a regular file"), "{why}");
    }
    assert!(site.path("link").is_symlink());
    for mode in [&["--mode", "0600"][..], &["--output", "o", "--mode", "u+r"], &["--output", "o", "--mode", "4755"]] {
        let arguments = [&["render", template.to_str().unwrap()], mode].concat();
        failure(&asked.local(&arguments).output().unwrap(), 2);
    }
}

#[test]
fn the_file_can_be_given_to_a_user_and_a_group() {
    let asked = ServingDaemon::plain();
    asked.store("key", "k");
    let site = &asked.daemon.site;
    let template = site.write("t", "{{ key }}");
    let (template, output) = (template.to_str().unwrap(), site.path("out"));
    let render = |owner: &str| {
        asked.local(&["render", template, "--output", output.to_str().unwrap(), "--owner", owner]).output().unwrap()
    };
    let owner = || fs::metadata(&output).map(|meta| (meta.uid(), meta.gid())).unwrap();
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    printed(render(&format!("{uid}:{gid}")));
    assert_eq!((owner(), mode(&output)), ((uid, gid), 0o600));
    if geteuid().is_root() {
        printed(render(&format!("{NOBODY}:{NOBODY}")));
        assert_eq!((owner(), mode(&output)), ((NOBODY, NOBODY), 0o600));
        printed(render(&NOBODY.to_string()));
        assert_eq!(owner(), (NOBODY, gid));
        printed(render("root"));
        assert_eq!(owner(), (0, 0));
    } else {
        let told = failure(&render("0:0"), 1);
        assert!(told.contains("out: only root can give it to another user"), "{told}");
    }
    let told = failure(&render("no-such-user"), 1);
    assert!(told.starts_with("user \"no-such-user\": is not in /etc/passwd"), "{told}");
    let without = asked.local(&["render", template, "--owner", "0"]).output().unwrap();
    assert!(failure(&without, 2).contains("--owner needs --output"));
}

#[test]
fn a_file_that_is_mounted_by_itself_is_not_replaced_and_it_is_said_what_to_mount() {
    if !needs::to_be_root() || !needs::is_installed("unshare") {
        return;
    }
    let asked = ServingDaemon::plain();
    asked.store("key", "k");
    let site = &asked.daemon.site;
    let (template, output) = (site.write("t", "{{ key }}"), site.write("out", "old"));
    let plain = asked.local(&["render", template.to_str().unwrap(), "--output", output.to_str().unwrap()]);
    let mut mounted = Command::new("unshare");
    mounted.args(["--mount", "sh", "-ec", "mount --bind \"$1\" \"$1\"; shift; exec \"$@\"", "sh"]).arg(&output);
    mounted.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => mounted.env(name, value),
            None => mounted.env_remove(name),
        };
    }
    let told = failure(&mounted.output().unwrap(), 1);
    let why = "is a mount point, so it cannot be replaced; mount its directory instead";
    assert!(told.starts_with(&format!("{}: {why}", output.display())), "{told}");
    assert_eq!(site.read("out"), "old");
    let names = fs::read_dir(site.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("out")).count(), 1, "nothing is left beside it");
}
