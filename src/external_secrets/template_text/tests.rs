use super::*;

fn written(text: &str) -> String {
    TemplateText::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).write(&str::to_owned)
}

#[test]
fn values_constants_and_simple_functions_are_converted() {
    for (text, expected) in [
        ("production", "production"),
        ("", "{{ \"\" }}"),
        ("{{/* nothing */}}", "{{ \"\" }}"),
        ("{{ .a }}:{{ .b }}\n", "{{ objects[\"a\"] }}:{{ objects[\"b\"] }}\n"),
        ("x{{$.a}}", "x{{ objects[\"a\"] }}"),
        ("x{{ index . \"a-b\" }}", "x{{ objects[\"a-b\"] }}"),
        ("x{{ index $ `a-b` }}", "x{{ objects[\"a-b\"] }}"),
        ("x  {{- .a -}}  y {{- \"z\" }}", "x{{ objects[\"a\"] }}yz"),
        ("{{ .a | toString | upper | b64enc }}", "{{ objects[\"a\"] | upper | b64encode }}"),
        ("{{ b64enc (upper .a) }}", "{{ objects[\"a\"] | upper | b64encode }}"),
        ("{{ .a | trim | lower }}", "{{ objects[\"a\"] | trim | lower }}"),
        ("{{ .a | b64dec }}.", "{{ objects[\"a\"] | b64decode }}."),
        ("{{ .a | toJson }}", "{{ objects[\"a\"] | json_html }}"),
        ("{{ .a | toRawJson }}", "{{ objects[\"a\"] | json }}"),
        ("{{ (.a | fromJson).user }}", "{{ (objects[\"a\"] | from_json)[\"user\"] }}"),
        (
            "{{ (fromJson .a).db.user | upper }}",
            "{{ (objects[\"a\"] | from_json)[\"db\"][\"user\"] | upper }}",
        ),
        ("{{ index (.a | fromJson) \"x-y\" }}", "{{ (objects[\"a\"] | from_json)[\"x-y\"] }}"),
        ("{{ .a | default \"none\" }}", "{{ objects[\"a\"] or \"none\" }}"),
        ("{{ .a | default .b | upper }}", "{{ (objects[\"a\"] or objects[\"b\"]) | upper }}"),
        ("{{ .a | indent 2 }}", "{{ \"  \" ~ (objects[\"a\"] | indent(2)) }}"),
        ("{{ .a | nindent 2 }}", "{{ \"\\n\" ~ (\"  \" ~ (objects[\"a\"] | indent(2))) }}"),
        (
            "{{ printf \"%s:%s%%\" .a .b | b64enc }}",
            "{{ (objects[\"a\"] ~ \":\" ~ objects[\"b\"] ~ \"%\") | b64encode }}",
        ),
        ("{{ \"}}\\u0041\\n\" }}{{ .a }}", "}}A\n{{ objects[\"a\"] }}"),
    ] {
        assert_eq!(written(text), expected, "{text}");
    }
}

#[test]
fn text_that_the_providers_engine_would_read_stays_text() {
    for (text, expected) in [
        ("{% if x %}{# y #}", "{{ \"{\" }}% if x %}{{ \"{\" }}# y #}"),
        ("{ x } } } %}", "{ x } } } %}"),
        ("{{ \"{{\" }} x }}", "{{ \"{\" }}{ x }}"),
        ("{{ `{` }}{{ .a }}", "{{ \"{\" }}{{ objects[\"a\"] }}"),
        ("a{", "a{"),
    ] {
        assert_eq!(written(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let function = |name: &str| Unsupported::Function(name.to_owned());
    let statement = |name: &str| Unsupported::Statement(name.to_owned());
    for (text, expected) in [
        ("{{ .a | quote }}", function("quote")),
        ("{{ .a | sha256sum }}", function("sha256sum")),
        ("{{ printf \"%d\" .a }}", function("printf")),
        ("{{ printf \"%s\" }}", function("printf")),
        ("{{ printf \"%s\" (.a | b64dec) }}", function("printf")),
        ("{{ .a | fromJson }}", function("fromJson")),
        ("{{ .a | replace \"x\" \"y\" }}", function("replace")),
        ("{{ list .a now }}", function("now")),
        ("{{ if .a }}x{{ end }}", statement("if")),
        ("{{- range .a }}{{ end }}", statement("range")),
        ("{{ $x := .a }}{{ $x }}", statement("$x :=")),
        ("{{ .a.b }}", Unsupported::Syntax),
        ("{{ .a-b }}", Unsupported::Syntax),
        ("{{ .a", Unsupported::Syntax),
        ("{{ }}", Unsupported::Syntax),
        ("{{ . }}", Unsupported::Syntax),
        ("{{ \"a }}", Unsupported::Syntax),
        ("{{ .a .b }}", Unsupported::Syntax),
        ("{{ (.a }}", Unsupported::Syntax),
        ("{{ 'a' }}", Unsupported::Syntax),
        ("{{ .a | .b }}", Unsupported::Syntax),
    ] {
        assert_eq!(TemplateText::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn keys_are_listed_once() {
    let text = TemplateText::parse("{{ .a }}{{ .b | default .c }}{{ printf \"%s\" .a }}").unwrap();
    assert_eq!((text.keys(), text.joins()), (vec!["a", "b", "c"], true));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_template_of_the_provider_or_is_refused(
        text in "(\\{\\{|\\}\\}|\\{%|%\\}|\\{#|[a-z'\"|().$ \\\\\n-]|\\.a|upper|printf|\"%s\"|\\PC){0,40}",
    ) {
        if let Ok(template) = TemplateText::parse(&text) {
            let written = template.write(&str::to_owned);
            crate::plan::TemplateSource::parse(written.clone()).map_err(|fault| fault.problem).unwrap();
        }
    }
}
