//! `key wrap` and `key unwrap`: the file of the master key, from in the clear to wrapped and back.

use crate::base::failure::Failure;
use crate::base::files;
use crate::cli::command::{Arguments, CONFIG, Command, Group, Operands};
use crate::cli::configured::{key_file, load_config_to_maintain};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::vault::{KeyFile, Wrapping};

pub const WRAP: Command = Command {
    name: "key wrap",
    group: Group::Upkeep,
    operands: Operands::NONE,
    options: &[CONFIG],
    shared: &[],
    summary: "wrap the master key in its file, as [master_key] says",
    example: "jarvis-secretsd key wrap",
    run: wrap,
};

pub const UNWRAP: Command = Command {
    name: "key unwrap",
    group: Group::Upkeep,
    operands: Operands::NONE,
    options: &[CONFIG],
    shared: &[],
    summary: "put the master key in its file in the clear again",
    example: "jarvis-secretsd key unwrap",
    run: unwrap,
};

fn wrap(arguments: &Arguments) -> Result<(), Exit> {
    let (clear, wrapped) = forms(arguments)?;
    rewrite(&clear, &wrapped, "only a key in the clear can be wrapped")?;
    let path = clear.path().display();
    output::tell_done(format_args!(
        "{path} is wrapped, and unwraps to the same key by {}",
        unwrapper(&wrapped)?.unwrapper()
    ));
    output::tell_done(
        "next: restart the daemon, then jarvis-secretsd rekey --data-key: the key lay on this disk in the clear",
    );
    Ok(())
}

fn unwrap(arguments: &Arguments) -> Result<(), Exit> {
    let (clear, wrapped) = forms(arguments)?;
    rewrite(&wrapped, &clear, "only a wrapped key can be unwrapped")?;
    let path = clear.path().display();
    output::tell_done(format_args!("{path} holds the key in the clear"));
    output::tell_done("next: take [master_key] out of the configuration, and restart the daemon");
    Ok(())
}

/// The file of the master key, taken for one in the clear and for one that is wrapped.
fn forms(arguments: &Arguments) -> Result<(KeyFile, KeyFile), Exit> {
    let config = load_config_to_maintain(arguments)?;
    let wrapped = key_file(&config);
    unwrapper(&wrapped)?;
    Ok((KeyFile::new(&config.paths.master_key_path), wrapped))
}

fn unwrapper(wrapped: &KeyFile) -> Result<&Wrapping, Failure> {
    let why = "is missing in the configuration, and says by what the key is wrapped and unwrapped";
    wrapped.wrapping().ok_or_else(|| Failure::configuration("[master_key]", why))
}

/// Puts the key, which lies there as `from` says, there as `to` has it; `rule` is what is broken where it lies otherwise.
fn rewrite(from: &KeyFile, to: &KeyFile, rule: &str) -> Result<(), Failure> {
    let _alone = from.lock()?;
    refuse_during_a_rekey(from)?;
    from.check_form().map_err(|why| why.because(rule))?;
    from.rewrite_as(to)
}

fn refuse_during_a_rekey(key: &KeyFile) -> Result<(), Failure> {
    let next = key.next_path();
    if files::is_missing(&next) {
        return Ok(());
    }
    let why = "a rekey was interrupted, and this key may be in force; first complete it with `jarvis-secretsd rekey`, with the \
               configuration that it was begun with";
    Err(Failure::new(next.display(), why))
}
