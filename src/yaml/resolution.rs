//! Tag resolution: the types of plain scalars in YAML 1.1, which kubectl and the API server use.

use saphyr_parser::ScalarStyle;

use super::Scalar;

impl Scalar {
    /// The type of the scalar in YAML 1.1, if it is not a string.
    pub fn other_type(&self) -> Option<&'static str> {
        if self.style != ScalarStyle::Plain {
            return None;
        }
        match self.source.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Some("null"),
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" | "n" | "N"
            | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some("a boolean"),
            text if is_number(text) => Some("a number"),
            _ => None,
        }
    }
}

/// The integer that a plain scalar is, in the spellings of YAML 1.1 and 1.2: decimal, octal (`010`, `0o10`), hexadecimal
/// and binary, with a sign and underscores. As in Go's parser, a decimal fraction is truncated (`2.9` is 2, and so is
/// `2e0`), and digits that are not an octal number are decimal (`08` is 8).
pub fn integer(text: &str) -> Option<i64> {
    if text.starts_with('_') {
        return None;
    }
    whole(&text.replace('_', ""))
        .or_else(|| if text.starts_with('.') { truncated(text) } else { truncated(&text.replace('_', "")) })
}

fn whole(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) if text.starts_with('-') => ("-", digits),
        Some(digits) => ("", digits),
        None => ("", text),
    };
    let prefixed = |prefixes: [&str; 2]| prefixes.iter().find_map(|prefix| digits.strip_prefix(*prefix));
    let (digits, radix) = if let Some(digits) = prefixed(["0x", "0X"]) {
        (digits, 16)
    } else if let Some(digits) = prefixed(["0o", "0O"]) {
        (digits, 8)
    } else if let Some(digits) = prefixed(["0b", "0B"]) {
        (digits, 2)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (digits, 8)
    } else {
        (digits, 10)
    };
    // Refuse a second sign.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// The whole part of a decimal number.
fn truncated(text: &str) -> Option<i64> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let some = !whole.is_empty() || !fraction.is_empty();
    if !some || !digits(whole) || !digits(fraction) || exponent.is_empty() || !digits(exponent) {
        return None;
    }
    let number = text.parse::<f64>().ok().filter(|number| number.abs() < 9e18)?;
    // Avoid a lossy cast.
    format!("{:.0}", number.trunc()).parse().ok()
}

fn is_number(text: &str) -> bool {
    let text = text.replace('_', "");
    if matches!(text.as_str(), ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let text = text.strip_prefix(['+', '-']).unwrap_or(&text);
    if matches!(text, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        }
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let some = !whole.is_empty() || !fraction.is_empty();
    some && digits(whole) && digits(fraction) && !exponent.is_empty() && digits(exponent)
}

#[cfg(test)]
mod tests {
    use crate::yaml::{Budget, Value, parse};

    fn other_type(text: &str) -> Option<&'static str> {
        match parse(text, &mut Budget::default()).unwrap().unwrap().value {
            Value::Scalar(scalar) => scalar.other_type(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_spellings_of_an_integer_are_parsed() {
        for (text, value) in [
            ("0", 0),
            ("7", 7),
            ("-1", -1),
            ("+12", 12),
            ("1_000", 1000),
            ("010", 8),
            ("0o10", 8),
            ("-0o10", -8),
            ("0x1F", 31),
            ("-0x1f", -31),
            ("0b101", 5),
            ("00", 0),
            ("08", 8),
            ("-09", -9),
            ("2.0", 2),
            ("2.9", 2),
            ("-2.9", -2),
            ("-0.5", 0),
            (".5", 0),
            ("1.", 1),
            ("2e0", 2),
            ("1E1", 10),
            ("+.5e1", 5),
            ("1__0", 10),
            ("1_0.5", 10),
        ] {
            assert_eq!(super::integer(text), Some(value), "{text}");
        }
        for text in [
            "",
            "x",
            "_1",
            ".",
            ".5_0",
            "1e",
            "e1",
            "1e400",
            "1e19",
            ".inf",
            ".nan",
            "0x",
            "0o8",
            "0b2",
            "--1",
            "+-1",
            "0x-1",
            "0x1.8",
            "9223372036854775808",
            "1 2",
            "2001-01-01",
        ] {
            assert_eq!(super::integer(text), None, "{text}");
        }
    }

    #[test]
    fn plain_scalars_may_be_numbers_booleans_or_null() {
        for number in
            ["0", "0755", "-1", "1_000", "0x1F", "0b1", "1.5", ".5", "1.", "+1e3", "1E-3", "-.inf", ".NaN"]
        {
            assert_eq!(other_type(number), Some("a number"), "{number}");
        }
        for boolean in ["true", "False", "yes", "NO", "on", "off", "y"] {
            assert_eq!(other_type(boolean), Some("a boolean"), "{boolean}");
        }
        for null in ["~", "null", "---"] {
            assert_eq!(other_type(null), Some("null"), "{null}");
        }
    }

    #[test]
    fn ids_names_and_quoted_scalars_are_text() {
        for text in [
            "00000000-0000-4000-8000-000000000001",
            "1e",
            "e5",
            ".",
            "0x",
            "1.2.3",
            "1h",
            "yEs",
            "'1'",
            "\"true\"",
            "!!str 1",
            "|\n  1\n",
        ] {
            assert_eq!(other_type(text), None, "{text}");
        }
    }
}
