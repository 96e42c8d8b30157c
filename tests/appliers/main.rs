//! The real process that runs appliers, and programs that behave as badly as programs can.

mod appliers;
mod bad_programs;
mod daemon_gone;
#[path = "../patience/mod.rs"]
mod patience;
mod stage;
mod trust;
#[path = "../trusted/mod.rs"]
mod trusted;
