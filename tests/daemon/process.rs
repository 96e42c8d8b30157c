//! What others can do to the daemon's process, and what it can do itself once it serves.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use jarvis_secretsd::process::{Protection, Reach, confine};
use rustix::process::{Pid, Resource, Signal, geteuid, getrlimit};

use crate::client::Client;
use crate::needs;
use crate::running::Daemon;
use crate::site::{AUDIT, MASTER_KEY, NOBODY, SIGNING_KEY, Site, VAULT, eventually, mode};

/// The fields `names` of every thread of the process, as `/proc` tells them.
fn of_threads(pid: Pid, names: &[&str]) -> Vec<Vec<String>> {
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    eventually("main, accept and rotation are there", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
        // A thread that ends meanwhile has no status any more, or only a part of it.
        let statuses = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
        let threads: Vec<Vec<String>> =
            statuses.filter_map(|status| names.iter().map(|name| field(&status, name)).collect()).collect();
        (threads.len() >= 3).then_some(threads)
    })
}

/// A figure of the process in KiB.
fn kibibytes(pid: Pid, name: &str) -> u64 {
    of_threads(pid, &[name])[0][0].strip_suffix(" kB").unwrap().parse().unwrap()
}

/// `command` behind the shell's `before`.
fn in_shell(before: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before}; exec \"$@\""), "sh"]).arg(command.get_program()).args(command.get_args());
    shell.env_remove("RUST_LOG");
    shell
}

fn configure(site: &Site, server: &str) {
    site.edit("config.toml", "[server]\n", &format!("[server]\n{server}\n"));
}

/// Makes the daemon run as a user that is not root, also where root runs this test.
pub fn without_root(site: &Site) {
    if geteuid().is_root() {
        configure(site, &format!("user = \"{NOBODY}\"\ngroup = \"{NOBODY}\""));
        give_state(site);
    }
}

/// Makes the state's directories, for [`NOBODY`].
pub fn give_state(site: &Site) {
    for directory in ["state", "state/secrets", "state/audit"] {
        fs::create_dir(site.path(directory)).unwrap();
        chown(site.path(directory), Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// The daemon, started by a user who is not root.
pub fn started_by_nobody(site: &Site) -> Command {
    by_nobody(site, site.command("serve"))
}

/// The program with these arguments and this environment, for a user who is not root.
pub fn by_nobody(site: &Site, mut command: Command) -> Command {
    if geteuid().is_root() {
        // The one that cargo built may lie where only root can go.
        let copy = site.path("jarvis-secretsd");
        // By another process: what this one has open for writing, a child of another test may have open too for a moment,
        // and such a program cannot be run.
        let cp = Command::new("cp").arg("-p").arg(command.get_program()).arg(&copy).status().unwrap();
        assert!(cp.success());
        chown(site.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
        let mut copied = Command::new(copy);
        copied.args(command.get_args()).uid(NOBODY).gid(NOBODY);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => copied.env(name, value),
                None => copied.env_remove(name),
            };
        }
        command = copied;
    }
    command
}

#[test]
fn no_thread_can_gain_rights_or_make_files_for_others_or_dump_core() {
    let site = Site::new();
    let daemon = site.start();
    let _busy = daemon.client("admin");
    for thread in of_threads(daemon.pid(), &["NoNewPrivs", "Umask"]) {
        assert_eq!(thread, ["1", "0077"]);
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid().as_raw_nonzero())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"]);
}

/// A process of [`NOBODY`] if root runs this test, otherwise of the one who does.
fn as_nobody(mut command: Command) -> Command {
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// A process of that user which nothing protects.
struct Neighbour(Child);

impl Neighbour {
    fn start() -> Self {
        let mut command = as_nobody(Command::new("sleep"));
        Self(command.arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether that user can open the file `name` of the process, as a debugger does.
fn can_open(pid: Pid, name: &str) -> bool {
    let mut shell = as_nobody(Command::new("sh"));
    shell.args(["-c", "exec <\"$0\"", &format!("/proc/{}/{name}", pid.as_raw_nonzero())]);
    shell.stderr(Stdio::null()).status().unwrap().success()
}

/// Whether that user's debugger can attach to the process.
fn can_attach(pid: Pid) -> bool {
    let mut strace = as_nobody(Command::new("strace"));
    strace.args(["-o", "/dev/null", "-p", &pid.as_raw_nonzero().to_string()]).stderr(Stdio::null());
    let mut strace = strace.spawn().unwrap();
    let attached = eventually("the debugger is attached or refused", || {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
        let is_traced = !status.contains("TracerPid:\t0\n");
        (is_traced || strace.try_wait().unwrap().is_some()).then_some(is_traced)
    });
    let _ = strace.kill();
    let _ = strace.wait();
    attached
}

/// Nobody but root can read the daemon's memory, nor anything that says where to look in it.
fn assert_is_opaque(pid: Pid) {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    assert!(!status.contains("Uid:\t0"), "it runs as the user who looks");
    for file in ["mem", "environ", "maps"] {
        assert!(!can_open(pid, file), "{file}");
    }
    if needs::is_installed("strace") {
        assert!(!can_attach(pid));
    }
}

#[test]
fn another_process_of_the_same_user_cannot_look_into_it() {
    let neighbour = Neighbour::start();
    assert!(can_open(neighbour.pid(), "environ"), "what is tried below works on others");
    // Some systems let nobody attach to what is not its child.
    let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if matches!(yama.trim(), "" | "0") {
        assert!(can_open(neighbour.pid(), "mem"));
        assert!(!needs::is_installed("strace") || can_attach(neighbour.pid()));
    }

    // A change of user makes a process opaque by itself: this one has changed none.
    let site = Site::new();
    let daemon = site.started(started_by_nobody(&site));
    assert_is_opaque(daemon.pid());
}

#[test]
fn nobody_looks_into_a_daemon_that_was_root() {
    if !needs::to_be_root() {
        return;
    }
    let site = Site::new();
    without_root(&site);
    let daemon = site.start();
    assert_is_opaque(daemon.pid());
}

#[test]
fn memory_is_locked_page_by_page_and_not_a_whole_stack_at_a_time() {
    let site = Site::new();
    let daemon = site.start();
    let may_lock = geteuid().is_root() || getrlimit(Resource::Memlock).maximum.is_none();
    if !may_lock {
        assert!(daemon.log().contains("Memory not locked"), "{}", daemon.log());
        return;
    }
    assert!(daemon.log().contains("INFO  Memory locked"), "{}", daemon.log());
    let before = kibibytes(daemon.pid(), "VmLck");
    assert!(before > 0);
    let addr = daemon.addr();
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = Client::named("admin", addr);
            assert_eq!(client.get("/healthz").status, 200);
            client
        })
        .collect();
    let (locked, resident) = (kibibytes(daemon.pid(), "VmLck"), kibibytes(daemon.pid(), "VmRSS"));
    assert!(locked > before + 100 * 512, "the stacks of 100 threads are locked: {before} KiB, then {locked} KiB");
    assert!(resident < 100 * 512 / 2, "and are not all resident: {resident} KiB");
    drop(clients);
}

#[test]
fn a_daemon_that_may_not_lock_its_memory_says_what_to_do_and_serves() {
    let site = Site::new();
    let command = started_by_nobody(&site);
    let mut limited = in_shell("ulimit -l 64", &command);
    if geteuid().is_root() {
        limited.uid(NOBODY).gid(NOBODY);
    }
    let mut daemon = site.started(limited);
    let line = daemon.await_log("Memory not locked");
    for told in ["WARN", "the limit is 64 KiB", "LimitMEMLOCK=infinity", "rc_ulimit", "--ulimit memlock"] {
        assert!(line.contains(told), "{told} in {line}");
    }
    assert_eq!(kibibytes(daemon.pid(), "VmLck"), 0);
    let created = daemon.client("admin").post("/secret", r#"{"name":"a","generate":true}"#);
    assert_eq!(created.status, 200);
}

/// Whether this kernel confines, found out on a thread that is then thrown away.
fn landlock_works() -> bool {
    match thread::spawn(|| confine(&Reach::default())).join().unwrap() {
        Protection::InForce(_) => true,
        Protection::Missing(why) => {
            eprintln!("not tested here: {why}");
            false
        }
    }
}

#[test]
fn a_directory_exchanged_for_a_link_does_not_lead_out() {
    if !landlock_works() {
        return;
    }
    let site = Site::new();
    let mut daemon = site.start();
    daemon.await_log("INFO  Confined by Landlock ABI ");
    let (audit, moved, outside) = (site.path("state/audit"), site.path("state/moved"), site.path("outside"));
    fs::create_dir(&outside).unwrap();
    fs::rename(&audit, &moved).unwrap();
    symlink(&outside, &audit).unwrap();
    daemon.signal(Signal::HUP);
    daemon.await_log("Policy reloaded");
    assert_eq!(daemon.client("admin").get("/secrets").status, 200, "it goes on in the file that it has");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing is written outside");
    let log = fs::read_to_string(moved.join("audit.jsonl")).unwrap();
    assert!(log.lines().last().unwrap().contains("list_secrets"), "{log}");
}

#[test]
fn a_policy_is_not_read_from_outside_its_directory() {
    if !landlock_works() {
        return;
    }
    let site = Site::new();
    let policy = site.path("policy.toml");
    fs::create_dir(site.path("etc")).unwrap();
    fs::create_dir(site.path("outside")).unwrap();
    fs::rename(&policy, site.path("etc/policy.toml")).unwrap();
    site.edit("config.toml", "/policy.toml", "/etc/policy.toml");
    let policy = site.path("etc/policy.toml");
    let text = fs::read_to_string(&policy).unwrap();
    let mut daemon = site.start();

    fs::write(site.path("outside/policy.toml"), &text).unwrap();
    fs::remove_file(&policy).unwrap();
    symlink(site.path("outside/policy.toml"), &policy).unwrap();
    daemon.signal(Signal::HUP);
    let line = daemon.await_log("Policy not reloaded");
    assert!(line.contains("Permission denied"), "{line}");

    fs::write(site.path("etc/new"), text).unwrap();
    fs::rename(site.path("etc/new"), &policy).unwrap();
    daemon.signal(Signal::HUP);
    daemon.await_log("Policy reloaded");
}

#[test]
fn a_confined_daemon_that_is_not_root_still_reports_what_the_system_says_of_it() {
    let site = Site::new();
    without_root(&site);
    let daemon = site.start();
    let page = eventually("it has used a hundredth of a second", || {
        let page = daemon.client("admin").get("/metrics").body;
        (!page.contains("process_cpu_seconds_total 0\n")).then_some(page)
    });
    let metric = |sample: &str| -> f64 {
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix("jarvis_secretsd_")?.strip_prefix(sample)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{sample} is not in {page}")).parse().unwrap()
    };
    assert!(metric("process_resident_memory_bytes") > 100_000.0, "{page}");
    assert!(metric("process_cpu_seconds_total") > 0.0, "{page}");
    assert!((5.0..metric("process_max_fds")).contains(&metric("process_open_fds")), "{page}");
    for file in ["vault", "audit"] {
        let [size, room] =
            ["size", "available"].map(|what| metric(&format!("filesystem_{what}_bytes{{file=\"{file}\"}}")));
        assert!(0.0 < room && room <= size, "{page}");
    }
}

#[test]
fn only_root_becomes_another_user() {
    let site = Site::new();
    configure(&site, "user = \"1\"\ngroup = \"1\"");
    let mut daemon = Daemon::spawn(started_by_nobody(&site), &site, "log");
    assert_eq!(daemon.ended().code(), Some(1));
    let log = daemon.log();
    assert!(
        log.contains("jarvis-secretsd: user 1: only root can become it") && log.contains("leave out `user`"),
        "{log}"
    );
    assert!(!site.path("state").exists());
}

#[test]
fn an_unknown_user_is_bad_configuration() {
    let site = Site::new();
    configure(&site, "user = \"no such user\"");
    for command in ["serve", "check"] {
        let output = site.command(command).output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("jarvis-secretsd: user no such user: is not in /etc/passwd; "), "{text}");
    }
}

#[test]
fn check_reports_what_protects_the_process() {
    let site = Site::new();
    let output = site.command("check").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let about = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!(about("protection: Process is private"), 1, "{text}");
    assert_eq!(about("Memory locked") + about("Memory not locked"), 1, "{text}");
    assert_eq!(about("protection: Confined by Landlock ABI") + about("warning: Not confined"), 1, "{text}");
    assert_eq!(about("protection: Confined by Landlock ABI") == 1, landlock_works());
    assert!(!site.path("state").exists(), "check makes nothing");
}

/// A port that only root may bind, and that is free.
fn low_port() -> u16 {
    let free = (600..1024).rev().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("root may bind a low port")
}

fn owner(path: &Path) -> (u32, u32) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.uid(), meta.gid())
}

#[test]
fn root_binds_the_port_and_then_every_thread_is_another_user_for_good() {
    if !needs::to_be_root() {
        return;
    }
    let site = Site::new();
    let port = low_port();
    without_root(&site);
    site.edit("config.toml", "127.0.0.1:0", &format!("127.0.0.1:{port}"));
    fs::set_permissions(site.path("config.toml"), PermissionsExt::from_mode(0o600)).unwrap();
    let mut daemon = site.start();
    assert_eq!(daemon.addr().port(), port);
    daemon.await_log(&format!("Running as user {NOBODY} (uid {NOBODY}, gid {NOBODY})"));
    let four = [NOBODY; 4].map(|id| id.to_string()).join(" ");
    let nothing = "0".repeat(16);
    let _busy = daemon.client("admin");
    for thread in of_threads(daemon.pid(), &["Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapInh", "CapAmb"]) {
        assert_eq!(thread[..2], [&*four, &*four], "uids and gids: real, effective, saved, of the file system");
        assert_eq!(thread[2], NOBODY.to_string(), "no group besides");
        assert!(thread[3..].iter().all(|capabilities| *capabilities == nothing), "{thread:?}");
    }
    for file in [MASTER_KEY, VAULT, AUDIT, SIGNING_KEY] {
        assert_eq!(owner(&site.path(file)), (NOBODY, NOBODY), "{file}");
    }
    // What it does later, it does as that user.
    fs::rename(site.path(AUDIT), site.path("state/audit/old")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.await_log("Policy reloaded");
    let log = site.path(AUDIT);
    eventually("a new audit log is there", || log.exists().then_some(()));
    assert_eq!(owner(&log), (NOBODY, NOBODY));
    daemon.stop();
}

#[test]
fn what_the_user_cannot_use_stops_the_start_with_the_command_that_helps() {
    if !needs::to_be_root() {
        return;
    }
    let site = Site::new();
    configure(&site, &format!("user = \"{NOBODY}\"\ngroup = \"{NOBODY}\""));
    let refused = |code: i32| {
        let output = site.command("serve").output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
    };
    let directory = site.path("state/secrets");
    let line = refused(1);
    let remedy = format!(
        "as root: mkdir -p -m 700 {} && chown -R {NOBODY}:{NOBODY} {}",
        directory.display(),
        directory.display()
    );
    assert!(
        line.contains(&format!("vault.json: user {NOBODY} cannot use it: Permission denied"))
            && line.ends_with(&remedy),
        "{line}"
    );
    assert!(!site.path("state").exists());

    give_state(&site);
    fs::set_permissions(site.path("policy.toml"), PermissionsExt::from_mode(0o600)).unwrap();
    let line = refused(78);
    assert!(line.contains("policy.toml: Permission denied"), "{line}");
    assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "nothing is made");
}

/// Configures the API's and the credential socket, in the directory `run`, which is made.
fn configure_sockets(site: &Site) {
    let run = site.path("run");
    fs::create_dir(&run).unwrap();
    configure(site, &format!("unix_socket = {:?}\ncredential_socket = {:?}", run.join("sock"), run.join("cred")));
}

/// Whoever is the daemon's user could otherwise put a link in the place of what root is about to change.
#[test]
fn root_has_nothing_to_do_with_a_directory_in_which_the_daemons_user_makes_the_sockets() {
    if !needs::to_be_root() || !needs::is_installed("strace") {
        return;
    }
    let site = Site::new();
    without_root(&site);
    configure_sockets(&site);
    chown(site.path("run"), Some(NOBODY), Some(NOBODY)).unwrap();
    let (plain, trace) = (site.command("serve"), site.path("trace"));
    let mut traced = Command::new("strace");
    // The process is ours, and strace one beside it.
    traced
        .args(["-D", "-f", "-s", "400", "-e", "trace=%file,bind,fchmod,fchown,setresuid,exit_group", "-o"])
        .arg(&trace);
    traced.arg(plain.get_program()).args(plain.get_args()).env_remove("RUST_LOG");
    let daemon = site.started(traced);
    for (name, expected) in [("sock", 0o660), ("cred", 0o600)] {
        let path = site.path("run").join(name);
        assert_eq!((owner(&path), mode(&path)), ((NOBODY, NOBODY), expected), "{name}");
    }
    daemon.stop();
    let trace = eventually("all is written down", || {
        let text = fs::read_to_string(&trace).unwrap();
        text.contains("+++ exited with 0 +++").then_some(text)
    });
    let (as_root, as_nobody) = trace.split_once(&format!("setresuid({NOBODY}, {NOBODY}, {NOBODY}) ")).unwrap();
    let run = site.path("run").display().to_string();
    let in_run: Vec<&str> = as_root.lines().filter(|line| line.contains(&run)).collect();
    assert_eq!(in_run, [""; 0], "with the rights of root");
    for name in ["sock", "cred"] {
        assert!(as_nobody.contains(&format!("sun_path=\"{run}/{name}.new\"")), "{trace}");
    }
    // Of what lies elsewhere, root only reads.
    let here = site.path("").display().to_string();
    let changes =
        ["chmod", "chown", "rename", "unlink", "mkdir", "link(", "linkat", "mknod", "O_WRONLY", "O_RDWR", "O_CREAT"];
    let changing = |line: &&str| line.contains(&here) && changes.iter().any(|change| line.contains(change));
    let changed: Vec<&str> = as_root.lines().filter(changing).filter(|line| !line.contains("readlink")).collect();
    assert_eq!(changed, [""; 0], "with the rights of root");
}

#[test]
fn a_socket_in_a_directory_that_the_daemons_user_may_not_write_to_stops_the_start_with_the_remedy() {
    if !needs::to_be_root() {
        return;
    }
    let site = Site::new();
    without_root(&site);
    configure_sockets(&site);
    let told = format!(
        "{}: user {NOBODY} cannot make a socket in its directory: Permission denied (os error 13); give the socket a \
         directory that belongs to that user, as root: install -d -o {NOBODY} -g {NOBODY} DIRECTORY",
        site.path("run/sock").display()
    );
    let mut daemon = Daemon::spawn(site.command("serve"), &site, "log");
    assert_eq!(daemon.ended().code(), Some(1));
    assert!(daemon.log().contains(&told), "{}", daemon.log());
    assert_eq!(fs::read_dir(site.path("run")).unwrap().count(), 0);
    let checked = site.command("check").output().unwrap();
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(text.contains(&format!("warning: {told}")), "{text}");
}
