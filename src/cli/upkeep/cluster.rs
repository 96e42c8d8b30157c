//! `cluster status`, `cluster forget` and `cluster step-down`: the daemons that share a vault, as etcd knows them.

use crate::base::failure::Failure;
use crate::cli::command::{Arguments, CONFIG, Command, Group, JSON, Operands};
use crate::cli::configured::load_config_to_maintain;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::report::WARNINGS;
use crate::cluster::{Cluster, DaemonState, DaemonStatus};

pub const STATUS: Command = Command {
    name: "cluster status",
    group: Group::Upkeep,
    operands: Operands::NONE,
    options: &[JSON, CONFIG],
    shared: &[],
    summary: "show the daemons that share the vault",
    example: "jarvis-secretsd cluster status",
    run: status,
};

pub const FORGET: Command = Command {
    name: "cluster forget",
    group: Group::Upkeep,
    operands: Operands::one("NODE"),
    options: &[CONFIG],
    shared: &[],
    summary: "forget a daemon that does not come back",
    example: "jarvis-secretsd cluster forget host-c",
    run: forget,
};

pub const STEP_DOWN: Command = Command {
    name: "cluster step-down",
    group: Group::Upkeep,
    operands: Operands::NONE,
    options: &[CONFIG],
    shared: &[],
    summary: "let another daemon lead than the one that does",
    example: "jarvis-secretsd cluster step-down",
    run: step_down,
};

/// How much of a policy's SHA-256 tells it from others.
const SHORT: usize = 12;

/// The daemons of the vault that the configuration names.
fn cluster(arguments: &Arguments) -> Result<Cluster, Exit> {
    let config = load_config_to_maintain(arguments)?;
    let Some(storage) = &config.storage else {
        let path = arguments.config_path();
        let why = "has no [storage]: its daemon has the vault for itself";
        return Err(Exit::config(Failure::configuration(path.display(), why)));
    };
    Ok(Cluster::new(storage)?)
}

fn status(arguments: &Arguments) -> Result<(), Exit> {
    let status = cluster(arguments)?.status()?;
    if arguments.has(&JSON) {
        let mut told = serde_json::to_value(&status).expect("it is plain data");
        told[WARNINGS] = status.warnings().into();
        return output::tell(told);
    }
    let snapshot = match status.snapshot_seq {
        0 => "no snapshot".to_owned(),
        through => format!("a snapshot through change {through}"),
    };
    output::tell(format_args!(
        "{}: {} changes; {snapshot}, and {} bytes of log",
        status.prefix, status.seq, status.log_bytes
    ))?;
    output::print_table(["NODE", "STATE", "CHANGE", "VERSION", "POLICY", "SINCE"], status.daemons.iter().map(row))?;
    status.warnings().into_iter().try_for_each(output::warn)
}

fn forget(arguments: &Arguments) -> Result<(), Exit> {
    let node = arguments.operands()[0].to_string_lossy();
    cluster(arguments)?.forget(&node)?;
    output::tell_done(format_args!("{node} is forgotten; keep its audit log, which is part of the whole"));
    Ok(())
}

fn step_down(arguments: &Arguments) -> Result<(), Exit> {
    match cluster(arguments)?.step_down()? {
        Some(node) => output::tell_done(format_args!("{node} leads no more; another daemon takes over")),
        None => output::tell_done("no daemon leads"),
    }
    Ok(())
}

fn row(daemon: &DaemonStatus) -> [String; 6] {
    let state = match daemon.state {
        DaemonState::Leads => "leads",
        DaemonState::Follows => "follows",
        DaemonState::Away => "away",
    };
    let none = || "-".to_owned();
    let [change, version, policy, since] = match &daemon.alive {
        Some(alive) => [
            alive.seq.to_string(),
            alive.version.clone(),
            alive.policy_sha256.chars().take(SHORT).collect(),
            alive.since.to_the_second(),
        ],
        None => [(); 4].map(|()| none()),
    };
    [daemon.node.clone(), state.to_owned(), change, version, policy, since]
}
