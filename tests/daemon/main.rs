//! The daemon from outside: the real binary, asked over HTTP as curl would ask it, and the files that it leaves.

mod activation;
mod applier_process;
mod appliers;
mod appliers_crash;
mod appliers_schedule;
mod asking;
mod audited;
mod backup;
mod calendar;
mod calls;
mod canary;
mod check_and_set;
mod cli;
mod client;
mod client_commands;
mod client_exec;
mod client_get;
mod client_import;
mod client_prompt;
mod client_render;
mod client_servers;
mod client_settings;
mod client_watch;
mod consumers;
mod crash;
mod credentials;
mod cross_site;
mod crowd;
mod figures;
mod flood;
mod identity;
mod key;
mod key_files;
mod leaving;
mod manual;
mod named_by_token;
mod names_and_values;
#[path = "../needs/mod.rs"]
mod needs;
mod notify;
mod openapi;
mod outside;
mod overload;
#[path = "../patience/mod.rs"]
mod patience;
mod policy;
mod process;
mod refusals;
mod rekey;
mod rotation;
mod running;
mod schedule;
mod segments;
mod settings;
mod several;
mod shared_paths;
mod signals;
mod site;
mod soak;
#[path = "../source/mod.rs"]
mod source;
mod start;
mod starving;
mod throttling;
mod tls;
#[path = "../tls_client/mod.rs"]
mod tls_client;
mod tokens;
mod troubleshooting;
#[path = "../trusted/mod.rs"]
mod trusted;
mod unix;
mod versions;
mod visitor;
mod waiting;
mod watching;
