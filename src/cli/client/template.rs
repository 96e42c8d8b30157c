//! A text with `{{ name }}` where a secret's value belongs.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::base::failure::Failure;
use crate::base::name::is_name;
use crate::base::secret::Plaintext;
use crate::base::source::Source;

/// What writes two braces that begin nothing.
const BRACES: &str = "\"{{\"";

pub struct Template<'a> {
    source: &'a Source,
    parts: Vec<Part<'a>>,
}

enum Part<'a> {
    Text(&'a str),
    /// A secret, and where it is wanted, in bytes.
    Secret(&'a str, usize),
}

impl<'a> Template<'a> {
    /// Reads a template. `{{ name }}` stands for a value, and `{{ "{{" }}` for two braces; blanks within may be left out.
    ///
    /// # Errors
    /// Says with line and column which `{{` is not closed on its line, or holds something else.
    pub fn parse(source: &'a Source) -> Result<Self, Failure> {
        let mut parts = Vec::new();
        let mut rest = source.text();
        while let Some((before, behind)) = rest.split_once("{{") {
            let offset = source.text().len() - behind.len() - "{{".len();
            let line = behind.lines().next().unwrap_or_default();
            let Some((inside, _)) = line.split_once("}}") else {
                return Err(source.fail(offset, r#"{{ without }} on its line; write {{ "{{" }} for two braces"#));
            };
            parts.push(Part::Text(before));
            match inside.trim_matches([' ', '\t']) {
                BRACES => parts.push(Part::Text("{{")),
                name if is_name(name) => parts.push(Part::Secret(name, offset)),
                _ => return Err(source.fail(offset, r#"this is neither {{ name }} nor {{ "{{" }}"#)),
            }
            rest = &behind[inside.len() + "}}".len()..];
        }
        parts.push(Part::Text(rest));
        Ok(Self { source, parts })
    }

    /// The text with the values, each of which is fetched once.
    ///
    /// # Errors
    /// If a value cannot be had, with the place where it is wanted first.
    pub fn render(
        &self,
        fetch: &mut dyn FnMut(&str) -> Result<Plaintext, Failure>,
    ) -> Result<Zeroizing<String>, Failure> {
        let mut values = BTreeMap::new();
        for part in &self.parts {
            if let Part::Secret(name, offset) = part
                && !values.contains_key(name)
            {
                let value = fetch(name).map_err(|why| self.source.fail(*offset, &why).of(why.kind()))?;
                values.insert(*name, value);
            }
        }
        let texts = || {
            self.parts.iter().map(|part| match part {
                Part::Text(text) => *text,
                Part::Secret(name, _) => values[name].expose(),
            })
        };
        // Sized at first, so that it never moves and leaves a copy behind.
        let mut rendered = Zeroizing::new(String::with_capacity(texts().map(str::len).sum()));
        rendered.extend(texts());
        Ok(rendered)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Renders it with values that are the names in angle brackets; `none` has none. Says how often it asked, too.
    fn render(text: &str) -> Result<(String, usize), String> {
        let source = Source::new(Path::new("t"), text);
        let mut asked = 0;
        let rendered = Template::parse(&source).and_then(|template| {
            template.render(&mut |name| {
                asked += 1;
                if name == "none" {
                    Err(Failure::new(name, "no such"))
                } else {
                    Ok(Plaintext::new(format!("<{name}>")))
                }
            })
        });
        rendered.map(|text| (text.to_string(), asked)).map_err(|why| why.to_string())
    }

    #[test]
    fn a_name_in_two_braces_becomes_the_value_and_all_else_stays() {
        for (text, rendered) in [
            ("", ""),
            ("a { b } }} c\r\n", "a { b } }} c\r\n"),
            ("{{ a }}", "<a>"),
            ("{{a}}{{\ta.b-c_1  }}\n", "<a><a.b-c_1>\n"),
            ("é {{ a }} é {{ b }}", "é <a> é <b>"),
            ("{{ a }}}", "<a>}"),
        ] {
            assert_eq!(render(text).unwrap().0, rendered, "{text:?}");
        }
    }

    #[test]
    fn two_braces_in_quotes_stand_for_themselves() {
        assert_eq!(render(r#"{{ "{{" }} a }} {{"{{"}}"#).unwrap().0, "{{ a }} {{");
    }

    #[test]
    fn each_secret_is_fetched_once() {
        assert_eq!(render("{{ a }}{{ b }}{{ a }}").unwrap(), ("<a><b><a>".to_owned(), 2));
    }

    #[test]
    fn what_is_no_placeholder_is_refused_with_its_place() {
        for (text, place) in [
            ("{{", "t:1:1: {{ without }}"),
            ("a\n é {{ a\n}}", "t:2:4: {{ without }}"),
            ("{{ a }", "t:1:1: {{ without }}"),
            ("{{}}", "t:1:1: this is neither"),
            ("{{ a b }}", "t:1:1: this is neither"),
            ("{{{ a }}}", "t:1:1: this is neither"),
            ("{{ .a | quote }}", "t:1:1: this is neither"),
            ("{{ a {{ b }}", "t:1:1: this is neither"),
            ("{{ a }} {{ none }}", "t:1:9: none: no such"),
        ] {
            assert!(render(text).unwrap_err().starts_with(place), "{text:?}: {:?}", render(text));
        }
    }
}
