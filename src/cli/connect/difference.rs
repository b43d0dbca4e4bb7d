//! Lines that an edit changes, for people. Pure.

/// Returns what of a text is replaced by what: the lines from the first to the last that differ, with the number of the
/// first. What stands around them is not shown: a client's file has other secrets in it. A line that only gets a comma at its
/// end is told by its number.
pub(super) fn difference(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - same;
    let behind =
        old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let (mut old, mut new) = (&old[same..old.len() - behind], &new[same..new.len() - behind]);
    let (mut out, mut line) = (String::new(), same + 1);
    if let (Some(first), Some(now)) = (old.first(), new.first())
        && is_with_comma(first, now)
    {
        out.push_str(&format!("  line {line}: a comma behind it\n"));
        (old, new, line) = (&old[1..], &new[1..], line + 1);
    }
    if old.is_empty() && new.is_empty() {
        return out;
    }
    out.push_str(&format!("  line {line}:\n"));
    out.extend(old.iter().map(|line| format!("  - {line}\n")));
    out.extend(new.iter().map(|line| format!("  + {line}\n")));
    out
}

/// Reports whether a line is another one with a comma more.
fn is_with_comma(before: &str, after: &str) -> bool {
    after.len() == before.len() + 1
        && after
            .match_indices(',')
            .any(|(at, _)| before[..at.min(before.len())] == after[..at] && before[at..] == after[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_changed_is_shown() {
        let before = "{\n  \"secret\": \"s\"\n}\n";
        let after = "{\n  \"secret\": \"s\",\n  \"new\": 1\n}\n";
        assert_eq!(difference(before, after), "  line 2: a comma behind it\n  line 3:\n  +   \"new\": 1\n");
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "  line 2:\n  - b\n  + x\n");
        assert_eq!(difference("", "a\n"), "  line 1:\n  + a\n");
        assert_eq!(difference("a\n", "a\na\n"), "  line 2:\n  + a\n");
        assert_eq!(difference("  \"ü\" // x\n}", "  \"ü\", // x\n}"), "  line 1: a comma behind it\n");
    }
}
