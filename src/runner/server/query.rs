//! PURE: the parameters of a request.

use url::form_urlencoded;

#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(query: Option<&str>) -> Query {
        Query(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// As the API reads it: everything but `false` and `0` is true.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// As the kubelet's streaming reads it: 1 is true.
    pub fn is_one(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_the_api_does() {
        let query = Query::of(Some("command=a&command=b%20c&input=1&tty=true&follow=True&previous=0"));
        assert_eq!(query.all("command"), ["a", "b c"]);
        assert!(query.is_one("input") && !query.is_one("tty") && !query.is_one("output"));
        assert!(query.is_true("follow") && !query.is_true("previous") && !query.is_true("timestamps"));
        assert_eq!(Query::of(None).get("a"), None);
    }
}
