//! A call of a table of calls: a method of a path, and what answers it.

pub struct Route<H: 'static> {
    pub method: &'static str,
    pub path: &'static str,
    pub handling: H,
}

impl<H> Route<H> {
    pub const fn new(method: &'static str, path: &'static str, handling: H) -> Self {
        Self { method, path, handling }
    }
}

/// The methods of a path in `table`, as `Allow` has them; `named` is what a method is called there.
pub fn methods<H>(table: &[Route<H>], path: &str, named: impl Fn(&'static str) -> &'static str) -> String {
    let methods = table.iter().filter(|route| route.path == path).map(|route| named(route.method));
    methods.collect::<Vec<_>>().join(", ")
}
