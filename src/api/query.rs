//! The parameters behind the question mark of a request's target.

use rouille::Request;

use super::problem::Problem;

/// The parameters of the query. Unknown ones are refused: a misspelt one must not be ignored.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(request: &Request, known: &[&'static str]) -> Result<Self, Problem> {
        Self::with_repeated(request, known, &[])
    }

    /// The same, where the `repeated` parameters may occur more than once.
    pub fn with_repeated(
        request: &Request,
        known: &[&'static str],
        repeated: &[&'static str],
    ) -> Result<Self, Problem> {
        let mut query = Vec::new();
        for pair in request.raw_query_string().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_twice = query.iter().any(|(seen, _)| seen == name);
            if !repeated.contains(&name) && (!known.contains(&name) || is_twice) {
                return Err(Problem::bad_request(match (known, repeated) {
                    ([], _) => "this call takes no query parameters".to_owned(),
                    (known, []) => {
                        format!("the query parameters are, each at most once: {}", known.join(", "))
                    }
                    (known, repeated) => format!(
                        "the query parameters are, each at most once: {}; and any number of: {}",
                        known.join(", "),
                        repeated.join(", ")
                    ),
                }));
            }
            let value = if is_twice || value.contains('=') {
                // A request finds the first one only, and of that what stands before another equals sign.
                let alone = format!("/?{name}={}", value.replace('=', "%3D"));
                Request::fake_http("GET", alone, Vec::new(), Vec::new()).get_param(name)
            } else {
                request.get_param(name)
            };
            query.push((name.to_owned(), value.unwrap_or_default()));
        }
        Ok(Self(query))
    }

    /// A parameter that is `true` or `false`, and `false` where it is left out.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("{name} is true or false"))),
        }
    }

    /// All values of a parameter that may occur more than once.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
