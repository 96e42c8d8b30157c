//! The commands, with a key that is wrapped.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::Stage;
use crate::client_program::fed;
use crate::site::{MASTER_KEY, NEXT_KEY, Site, VAULT, mode, said};

const PASSPHRASE: &[u8] = b"correct horse battery\n";

#[test]
fn a_key_goes_from_the_clear_to_wrapped_and_back_while_the_daemon_works() {
    let stage = Stage::new();
    stage.configure_nothing();
    let daemon = stage.site.start();
    let mut admin = daemon.client("admin");
    admin.store("db_main", "v");
    let key = fs::read(stage.site.path(MASTER_KEY)).unwrap();
    stage.configure("");
    let wrapped = stage.command("key wrap");
    assert!(wrapped.status.success() && said(&wrapped).contains("rekey --data-key"), "{}", said(&wrapped));
    assert_eq!((stage.key(), mode(&stage.site.path(MASTER_KEY))), (key.clone(), 0o600));
    assert_eq!(admin.value("db_main"), "v");
    // The daemon at work does not know yet by what it is to be unwrapped.
    let addr = format!("http://{}", daemon.addr());
    let rekey = |addr: &str| stage.site.command("rekey").args(["--addr", addr, "--client", "admin"]).output().unwrap();
    let early = rekey(&addr);
    assert!(
        !early.status.success() && said(&early).contains("which the daemon reads at its start only"),
        "{}",
        said(&early)
    );
    assert_eq!(admin.value("db_main"), "v");
    daemon.stop();
    let daemon = stage.site.start();
    let completed = rekey(&format!("http://{}", daemon.addr()));
    assert!(completed.status.success(), "{}", said(&completed));
    daemon.stop();
    let again = stage.command("key wrap");
    assert!(
        !again.status.success() && said(&again).contains("only a key in the clear can be wrapped"),
        "{}",
        said(&again)
    );
    stage.serves();
    let key = stage.key();

    let unwrapped = stage.command("key unwrap");
    assert!(unwrapped.status.success(), "{}", said(&unwrapped));
    assert_eq!(fs::read(stage.site.path(MASTER_KEY)).unwrap(), key);
    let again = stage.command("key unwrap");
    assert!(
        !again.status.success() && said(&again).contains("only a wrapped key can be unwrapped"),
        "{}",
        said(&again)
    );
    stage.configure_nothing();
    let without = stage.command("key unwrap");
    assert_eq!(without.status.code(), Some(78), "{}", said(&without));
    stage.serves();
}

#[test]
fn a_wrap_that_fails_leaves_the_key_as_it_is() {
    let stage = Stage::new();
    stage.configure_nothing();
    stage.site.start().stop();
    let key = fs::read(stage.site.path(MASTER_KEY)).unwrap();
    stage.configure("");
    stage.let_be("absent");
    let failed = stage.command("key wrap");
    assert!(!failed.status.success() && said(&failed).contains("Aborting."), "{}", said(&failed));
    assert_eq!(fs::read(stage.site.path(MASTER_KEY)).unwrap(), key);
    stage.let_no_longer_be("absent");
    stage.site.lay_next_key(&[7; 32]);
    let during = stage.command("key wrap");
    assert!(!during.status.success() && said(&during).contains("a rekey was interrupted"), "{}", said(&during));
    assert_eq!(fs::read(stage.site.path(MASTER_KEY)).unwrap(), key);
}

#[test]
fn key_check_says_whether_the_key_or_a_copy_of_it_opens_the_vault_and_check_asks_nobody() {
    let stage = Stage::with_a_secret();
    let good = stage.command("key check");
    assert!(good.status.success() && said(&good).contains("opens the vault "), "{}", said(&good));
    assert!(said(&good).contains(", unwrapped in ") && !said(&good).contains("12345678"), "{}", said(&good));
    let asked = stage.asked();
    let checked = stage.command("check");
    assert!(checked.status.success() && said(&checked).contains("master.key: good"), "{}", said(&checked));
    assert_eq!(stage.asked(), asked);

    let check = |name: &str, input: &[u8]| {
        let mut command = stage.site.command("key check");
        command.arg(stage.site.path(name));
        fed(command, input)
    };
    let put = |name: &str, bytes: &[u8]| {
        fs::write(stage.site.path(name), bytes).unwrap();
        fs::set_permissions(stage.site.path(name), Permissions::from_mode(0o600)).unwrap();
    };
    let exported = fed(stage.site.command("key export"), PASSPHRASE);
    put("escrow", &exported.stdout);
    put("clear", &stage.key());
    put("wrapped", &fs::read(stage.site.path(MASTER_KEY)).unwrap());
    put("other", &[7; 32]);
    for name in ["escrow", "clear", "wrapped"] {
        let good = check(name, PASSPHRASE);
        assert!(good.status.success() && said(&good).contains("opens the vault "), "{name}: {}", said(&good));
    }
    let wrong = check("escrow", b"another passphrase\n");
    assert!(!wrong.status.success() && said(&wrong).contains("passphrase is wrong"), "{}", said(&wrong));
    let other = check("other", b"");
    assert!(!other.status.success() && said(&other).contains("does not open the vault"), "{}", said(&other));
    stage.let_be("absent");
    let away = stage.command("key check");
    assert!(!away.status.success() && said(&away).contains("Aborting."), "{}", said(&away));
}

#[test]
fn an_escrow_copy_opens_the_vault_on_a_host_with_another_device() {
    let stage = Stage::with_a_secret();
    let exported = fed(stage.site.command("key export"), PASSPHRASE);
    assert!(exported.status.success(), "{}", said(&exported));
    let elsewhere = Stage::new();
    for directory in ["state/secrets", "state/audit"] {
        fs::create_dir_all(elsewhere.site.path(directory)).unwrap();
        for file in fs::read_dir(stage.site.path(directory)).unwrap().map(|file| file.unwrap()) {
            fs::copy(file.path(), elsewhere.site.path(directory).join(file.file_name())).unwrap();
        }
    }
    fs::remove_file(elsewhere.site.path(MASTER_KEY)).unwrap();
    fs::write(elsewhere.site.path("escrow"), &exported.stdout).unwrap();
    let mut import = elsewhere.site.command("key import");
    import.arg(elsewhere.site.path("escrow"));
    let imported = fed(import, PASSPHRASE);
    assert!(imported.status.success(), "{}", said(&imported));
    assert_eq!(elsewhere.key(), stage.key());
    elsewhere.serves();
}

#[test]
fn a_backup_is_made_and_restored_with_a_wrapped_key_and_with_one_from_before() {
    let stage = Stage::with_a_secret();
    let backup = stage.site.path("backup.tar");
    let run = |site: &Site, command: &str, more: &[&str]| {
        let output = site.command(command).arg(&backup).args(more).output().unwrap();
        assert!(output.status.success(), "{command}: {}", said(&output));
    };
    let made = stage.site.command("backup").arg("--output").arg(&backup).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    run(&stage.site, "backup verify", &[]);
    let clear = stage.site.path("clear");
    fs::write(&clear, stage.key()).unwrap();
    fs::set_permissions(&clear, Permissions::from_mode(0o600)).unwrap();
    run(&stage.site, "backup verify", &["--master-key", clear.to_str().unwrap()]);
    run(&stage.site, "restore", &["--force"]);
    stage.serves();
}

#[test]
fn an_interrupted_rekey_is_completed_with_a_wrapped_key() {
    let stage = Stage::with_a_secret();
    // The next key lies ready, wrapped, as a rekey leaves it that was killed before it asked the daemon.
    let next: Vec<u8> = (0..32).collect();
    stage.configure_nothing();
    let old = fs::read(stage.site.path(MASTER_KEY)).unwrap();
    fs::write(stage.site.path(MASTER_KEY), &next).unwrap();
    stage.configure("");
    let wrapped = stage.command("key wrap");
    assert!(wrapped.status.success(), "{}", said(&wrapped));
    fs::rename(stage.site.path(MASTER_KEY), stage.site.path(NEXT_KEY)).unwrap();
    fs::write(stage.site.path(MASTER_KEY), old).unwrap();
    fs::set_permissions(stage.site.path(MASTER_KEY), Permissions::from_mode(0o600)).unwrap();
    let rekeyed = stage.command("rekey");
    assert!(rekeyed.status.success(), "{}", said(&rekeyed));
    assert_eq!(stage.key(), next);
    assert!(stage.site.path(VAULT).exists() && !stage.site.path(NEXT_KEY).exists());
    stage.serves();
}
