//! What readers that make types of plain scalars take them for: tag resolution, as the YAML 1.1 of
//! kubectl and the API server has it.

use saphyr_parser::ScalarStyle;

use super::Scalar;

impl Scalar {
    /// What it is for such readers, if not text.
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
    fn ids_names_and_whatever_is_quoted_are_text() {
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
