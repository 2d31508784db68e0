//! What a URL says behind its question mark: each name known, each value whole.

use std::{fmt, str::FromStr, time::Duration};

use axum::http::Uri;
use percent_encoding::percent_decode_str;

use crate::problem::HttpProblem;

/// Parameters of a URL that are still to be looked at.
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
    /// The names that were asked for.
    known: Vec<&'static str>,
}

pub(crate) fn invalid(name: &str, why: impl fmt::Display) -> HttpProblem {
    let detail = format_args!("parameter {name:?}: {why}");
    HttpProblem::bad_request("invalid_parameter", detail).field("parameter", name)
}

impl Parameters {
    pub(crate) fn of(uri: &Uri) -> Result<Self, HttpProblem> {
        Self::of_query(uri.query().unwrap_or_default())
    }

    /// The same of the fields of a form.
    pub(crate) fn of_query(query: &str) -> Result<Self, HttpProblem> {
        let parts = query.split('&').filter(|part| !part.is_empty());
        let pairs = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        Ok(Self { pairs: pairs.collect::<Result<_, HttpProblem>>()?, known: Vec::new() })
    }

    /// Every value of a parameter that may be given several times.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let is_it = |(key, _): &mut (String, String)| key == name;
        self.pairs.extract_if(.., is_it).map(|(_, value)| value).collect()
    }

    /// The value of a parameter.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, HttpProblem> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            times => Err(invalid(name, format_args!("it is there {times} times"))),
        }
    }

    /// The value of a parameter, as what it stands for.
    pub(crate) fn value<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, HttpProblem> {
        let text = self.text(name)?;
        text.map(|text| text.parse().map_err(|error| invalid(name, error))).transpose()
    }

    /// A whole number, of digits alone.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<Option<u64>, HttpProblem> {
        self.text(name)?.map(|text| number(name, &text)).transpose()
    }

    /// Whether a parameter is there, as `name`, `name=1` or `name=true`.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, HttpProblem> {
        match self.text(name)?.as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(other) => Err(invalid(name, format_args!("{other:?} is neither 1 nor 0"))),
        }
    }

    /// A time, such as `2s`, `1500ms` or `2`, in seconds.
    pub(crate) fn duration(&mut self, name: &'static str) -> Result<Option<Duration>, HttpProblem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let duration = match text.strip_suffix("ms") {
            Some(digits) => Duration::from_millis(number(name, digits)?),
            None => Duration::from_secs(number(name, text.strip_suffix('s').unwrap_or(&text))?),
        };
        Ok(Some(duration))
    }

    /// Fails for a parameter that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), HttpProblem> {
        let Some((name, _)) = self.pairs.first() else { return Ok(()) };
        let name: String = name.chars().take(80).collect();
        let detail = format_args!("there is no parameter {name:?} here");
        let problem = HttpProblem::bad_request("unknown_parameter", detail);
        Err(problem.field("parameter", name).field("known", self.known))
    }
}

/// A text between `&` and `=`, without escapes.
fn decoded(text: &str) -> Result<String, HttpProblem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map_err(|error| {
        let detail = format_args!("a parameter is not UTF-8: {error}");
        HttpProblem::bad_request("invalid_parameter", detail)
    })?;
    Ok(decoded.into_owned())
}

fn number(name: &str, text: &str) -> Result<u64, HttpProblem> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse().ok().filter(|_| is_number);
    parsed.ok_or_else(|| {
        let text: String = text.chars().take(80).collect();
        invalid(name, format_args!("{text:?} is no whole number below 2^64"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Parameters, HttpProblem> {
        Parameters::of(&format!("/v1?{query}").parse().unwrap())
    }

    #[test]
    fn parameters_are_read_whole_or_refused() {
        let mut given = of("space=a%2Fb+c&space=%E2%82%AC&limit=7&wait=2s&live=1&x").unwrap();
        assert_eq!(given.all("space"), ["a/b c", "€"]);
        assert_eq!(given.number("limit").unwrap(), Some(7));
        assert_eq!(given.duration("wait").unwrap(), Some(Duration::from_secs(2)));
        assert!(given.flag("live").unwrap());
        let unknown = given.finish().unwrap_err();
        assert!(unknown.to_json().contains(r#""parameter":"x""#), "{}", unknown.to_json());

        for (query, name) in [("a=1&a=2", "a"), ("a=", "a"), ("a=+1", "a"), ("a=-1", "a")] {
            assert_eq!(of(query).unwrap().number(name).unwrap_err().code(), "invalid_parameter");
        }
        for query in ["a=18446744073709551616", "a=1e3", "a=0x10", "a=%D9%A3"] {
            assert!(of(query).unwrap().number("a").is_err(), "{query}");
        }
        assert!(of("a=1ms").unwrap().duration("a").unwrap() == Some(Duration::from_millis(1)));
        assert!(of("a=1h").unwrap().duration("a").is_err());
        assert!(of("a=%ff").is_err());
        assert!(of("").unwrap().finish().is_ok());
    }
}
