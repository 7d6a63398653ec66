use super::*;

fn refused(text: &str) -> String {
    text.parse::<Rule>().unwrap_err().to_string()
}

#[test]
fn every_fault_can_be_parsed() {
    let second = Duration::from_secs(1);
    for (text, fault) in [
        ("status,status=503", Fault::Status(503)),
        ("gateway,status=502", Fault::Gateway(502)),
        ("throttle", Fault::Throttle { retry_after: None }),
        ("throttle,retry-after=1s", Fault::Throttle { retry_after: Some(second) }),
        ("limit,requests=4000,per=10s", Fault::Limit { requests: 4000, per: 10 * second, retry_after: None }),
        ("latency,delay=250ms", Fault::Latency(second / 4)),
        ("clock-skew,skew=-10m", Fault::ClockSkew { seconds: -600 }),
        ("certificate,certificate=self-signed", Fault::Certificate(BadCertificate::SelfSigned)),
        ("certificate,certificate=wrong-name", Fault::Certificate(BadCertificate::WrongName)),
        ("certificate,certificate=other-authority", Fault::Certificate(BadCertificate::OtherAuthority)),
        ("certificate,certificate=expired", Fault::Certificate(BadCertificate::Expired)),
        ("refuse", Fault::Refuse),
        ("reset", Fault::Reset),
        ("disconnect", Fault::Disconnect),
        ("hang", Fault::Hang),
        ("hang-in-body", Fault::HangInBody),
        ("truncate", Fault::Truncate),
        ("wrong-length", Fault::WrongLength),
        ("garbage", Fault::Garbage),
        ("revoked", Fault::Revoked),
    ] {
        let rule: Rule = format!("target=vaults,fault={text}").parse().unwrap();
        assert_eq!(rule, Rule::new(Target::AllVaults, fault));
    }
}

#[test]
fn a_refusal_can_be_written_for_entra_and_imds() {
    let refusal = Fault::Refusal { code: 900_382, status: 400, error: "invalid_request".to_owned() };
    for (name, target) in [("entra", Target::Entra), ("imds", Target::Imds)] {
        let text = format!("target={name},fault=refusal,aadsts=900382,status=400,error=invalid_request");
        assert_eq!(text.parse(), Ok(Rule::new(target, refusal.clone())));
    }
    for (text, words) in [
        ("target=entra,fault=refusal,status=400,error=invalid_request", "aadsts: required by this fault"),
        ("target=entra,fault=refusal,aadsts=1,error=invalid_request", "status: required by this fault"),
        ("target=entra,fault=refusal,aadsts=1,status=400", "error: required by this fault"),
        ("target=entra,fault=refusal,aadsts=1,status=200,error=x", "status: 200 is not an error"),
        (
            "target=entra,fault=refusal,aadsts=1,status=400,error=",
            "use an OAuth error such as invalid_client",
        ),
        ("target=entra,fault=refusal,aadsts=AADSTS1,status=400,error=x", "aadsts: \"AADSTS1\" is invalid"),
        ("vault=a,fault=refusal,aadsts=1,status=400,error=x", "target: only Entra sends AADSTS codes"),
        ("target=issuer,fault=refusal,aadsts=1,status=400,error=x", "target: only Entra sends AADSTS codes"),
    ] {
        let error = refused(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_finding_has_its_location_and_help() {
    for (text, words) in [
        ("target=vaults", "fault: missing; set, for example, fault=hang"),
        ("fault=hang", "target: missing; set target=entra or vault=NAME"),
        ("target=entra,vault=a,fault=hang", "vault: cannot be used with target; remove one of them"),
        ("target=azure,fault=hang", "target: \"azure\" is unknown; use entra,"),
        ("vault=a,fault=hangs", "fault: \"hangs\" is unknown; use status,"),
        ("vault=a,fault=hang,status=500", "status: not a parameter of this fault; remove it"),
        ("vault=a,fault=status", "status: required by this fault; set status=…"),
        ("vault=a,fault=status,status=200", "status: 200 is not an error; use 400 to 999"),
        ("vault=a,fault=status,status=5oo", "status: \"5oo\" is invalid; use a whole number"),
        ("vault=a,fault=latency,delay=2", "delay: \"2\" is invalid; use a duration such as 500ms"),
        ("vault=a,fault=hang,kind=secrets", "kind: \"secrets\" is invalid; use one of token, "),
        ("vault=a,fault=hang,times=0", "times: 0 is out of range; use 1 or more"),
        ("vault=a,fault=limit,requests=1,per=0s", "per: the window must be longer than 0s"),
        ("vault=a,fault=certificate,certificate=bad", "use expired, self-signed, "),
        ("vault=a,fault=refuse,kind=secret", "kind: this fault affects connections, not requests; remove it"),
        ("vault=a,fault=revoked,times=3", "times: this fault affects all requests; remove it"),
        ("target=entra,fault=revoked", "target: only vaults refuse revoked tokens; use a vault or vaults"),
        (
            "target=imds,fault=certificate,certificate=expired",
            "target: the metadata service does not use TLS",
        ),
        ("target=imds,fault=clock-skew,skew=1m", "target: clock-skew needs entra"),
        ("target=entra,fault=clock-skew,skew=9000years", "skew: out of range; use at most 1000days"),
        ("vault=a,fault=hang,after=9000years", "after: out of range; use at most 1000days"),
        (
            "vault=a,fault=throttle,retry-after=500ms",
            "retry-after: 500ms is not a whole number of seconds; use whole seconds",
        ),
        ("vault=a,hang", "\"hang\" is not KEY=VALUE; write, for example, fault=hang"),
        ("vault=a,fault=hang,fault=reset", "fault: duplicate key; remove one"),
    ] {
        let error = refused(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn all_findings_are_reported_at_once() {
    let error = refused("fault=status,after=soon");
    for place in ["target: ", "status: ", "after: "] {
        assert!(error.contains(place), "{error}");
    }
}

#[test]
fn a_list_is_yaml_or_json_and_a_finding_has_its_index() {
    let rule: Rule = "vault=main,fault=throttle,retry-after=2s,after=10s,for=30s".parse().unwrap();
    let yaml = "- {vault: main, fault: throttle, retry-after: 2s, after: 10s, for: 30s}";
    assert_eq!(Rule::list(yaml), Ok(vec![rule]));
    let down: Rule = "target=entra,fault=status,status=503,times=2".parse().unwrap();
    let json = r#"[{"target": "entra", "fault": "status", "status": 503, "times": 2}]"#;
    assert_eq!(Rule::list(json), Ok(vec![down]));
    assert_eq!(Rule::list("[]"), Ok(Vec::new()));
    let error = Rule::list("- {vault: a, fault: hang}\n- {vault: a, fault: none}").unwrap_err();
    assert!(error.to_string().starts_with("[1].fault: "), "{error}");
    let error = Rule::list("fault: hang").unwrap_err();
    assert!(error.to_string().starts_with("not a list of rules"), "{error}");
}
