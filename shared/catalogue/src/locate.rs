//! Where a member stands in a JSON text, for whoever has to put it right.

/// The line, from 1, of the member at `path`, names with dots between them, behind how many of
/// these names there are: the longest part of the path counts. `text` is JSON.
pub(crate) fn member(text: &str, path: &str) -> (usize, usize) {
    let wanted: Vec<&str> = path.split('.').collect();
    let mut found = (0, 1);
    let mut scan = Scan::default();
    for (number, line) in (1..).zip(text.lines()) {
        scan.line(line, |place: &[String]| {
            let alike = place
                .iter()
                .zip(&wanted)
                .take_while(|(one, other)| one == other)
                .count();
            if alike == place.len() && alike > found.0 {
                found = (alike, number);
            }
        });
    }
    found
}

/// A walk through a JSON text that knows which member it is in.
#[derive(Default)]
struct Scan {
    /// The names on the way to where it is; an array's members have none.
    path: Vec<String>,
    /// The last text that was read, which is a name if a colon follows.
    last: String,
}

impl Scan {
    fn line(&mut self, line: &str, mut member: impl FnMut(&[String])) {
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    self.last.clear();
                    while let Some(c) = chars.next() {
                        match c {
                            '"' => break,
                            '\\' => self.last.extend(chars.next()),
                            _ => self.last.push(c),
                        }
                    }
                }
                ':' => {
                    if let Some(name) = self.path.last_mut() {
                        name.clone_from(&self.last);
                    }
                    member(&self.path);
                }
                '{' | '[' => self.path.push(String::new()),
                '}' | ']' => {
                    self.path.pop();
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_where_it_stands_and_not_where_its_name_does() {
        let text = r#"{
  "a": "b: {",
  "x": {"b": ["c", {"b": 1}],
    "a": {
      "b": 2
    }
  },
  "b": "\"a\":"
}"#;
        for (path, expected) in [
            ("a", 2),
            ("x", 3),
            ("x.b", 3),
            ("x.a.b", 5),
            ("b", 8),
            ("x.a.c", 4),
            ("z", 1),
        ] {
            assert_eq!(member(text, path).1, expected, "{path}");
        }
    }
}
