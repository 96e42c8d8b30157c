//! The list of all commands.

use super::client::{
    configure, consumers, delete, exec, get, import, list, render, retire, rollback, rotate, schedule, set, versions,
};
use super::command::Command;
use super::completions;
use super::daemon::{check, healthcheck, init, serve, token};
use super::upkeep::{audit, backup, cluster, key, key_check, key_wrap, policy, rekey, storage};

/// All commands, in the order in which the help tells them.
pub const COMMANDS: &[Command] = &[
    serve::COMMAND,
    check::COMMAND,
    healthcheck::COMMAND,
    init::COMMAND,
    token::COMMAND,
    get::COMMAND,
    set::COMMAND,
    configure::COMMAND,
    list::COMMAND,
    versions::COMMAND,
    consumers::COMMAND,
    rotate::COMMAND,
    rollback::COMMAND,
    schedule::COMMAND,
    retire::COMMAND,
    delete::COMMAND,
    import::COMMAND,
    exec::COMMAND,
    render::COMMAND,
    audit::VERIFY,
    audit::TAKE_CHECKPOINT,
    policy::CHECK,
    policy::EXPLAIN,
    policy::REPLAY,
    backup::BACKUP,
    backup::VERIFY,
    backup::RESTORE,
    rekey::COMMAND,
    key::EXPORT,
    key::IMPORT,
    key_wrap::WRAP,
    key_wrap::UNWRAP,
    key_check::COMMAND,
    storage::COPY,
    cluster::STATUS,
    cluster::FORGET,
    cluster::STEP_DOWN,
    completions::COMMAND,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_same_name_are_the_same_but_for_two_that_say_different_things() {
        // A user or a text; a version or a place.
        let different = ["owner", "to"];
        let options = || COMMANDS.iter().flat_map(Command::all_options);
        for option in options() {
            for other in options().filter(|other| other.name == option.name) {
                assert_eq!(option.value.is_some(), other.value.is_some(), "{}", option.name);
                if !different.contains(&option.name) {
                    assert_eq!((option.value, option.summary), (other.value, other.summary), "{}", option.name);
                }
            }
        }
    }
}
