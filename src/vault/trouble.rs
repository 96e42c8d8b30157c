//! What keeps the vault from serving or changing secrets.

#[derive(Default)]
pub struct Trouble {
    /// The last append failed. Cleared by the next one that does not.
    pub storage: Option<String>,
    /// Daemons that share the vault have another history than this one. Stays: only a start can put that right.
    pub history: Option<String>,
    /// The vault was put under a master key that this daemon does not have: it works, and would not start again.
    pub key: Option<String>,
    /// A value in memory did not open. Stays: memory does not heal.
    pub memory: Option<String>,
}
