use super::*;

fn refused(text: &str) -> String {
    text.parse::<Rule>().unwrap_err().to_string()
}

#[test]
fn every_fault_can_be_written() {
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
fn a_refusal_of_entra_can_be_written_for_those_who_say_it() {
    let refusal = Fault::Refusal { code: 900_382, status: 400, error: "invalid_request".to_owned() };
    for (name, target) in [("entra", Target::Entra), ("imds", Target::Imds)] {
        let text = format!("target={name},fault=refusal,aadsts=900382,status=400,error=invalid_request");
        assert_eq!(text.parse(), Ok(Rule::new(target, refusal.clone())));
    }
    for (text, words) in [
        ("target=entra,fault=refusal,status=400,error=invalid_request", "aadsts: the fault needs it"),
        ("target=entra,fault=refusal,aadsts=1,error=invalid_request", "status: the fault needs it"),
        ("target=entra,fault=refusal,aadsts=1,status=400", "error: the fault needs it"),
        ("target=entra,fault=refusal,aadsts=1,status=200,error=x", "status: 200 is no error"),
        (
            "target=entra,fault=refusal,aadsts=1,status=400,error=",
            "write an OAuth error such as invalid_client",
        ),
        ("target=entra,fault=refusal,aadsts=AADSTS1,status=400,error=x", "aadsts: \"AADSTS1\" will not do"),
        ("vault=a,fault=refusal,aadsts=1,status=400,error=x", "target: AADSTS codes come from Entra"),
        ("target=issuer,fault=refusal,aadsts=1,status=400,error=x", "target: AADSTS codes come from Entra"),
    ] {
        let error = refused(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_mistake_is_named_with_its_place_and_its_mend() {
    for (text, words) in [
        ("target=vaults", "fault: nothing goes wrong; write fault=hang, say"),
        ("fault=hang", "target: nobody is named; write target=entra or vault=NAME"),
        ("target=entra,vault=a,fault=hang", "vault: there is a target, too; leave one out"),
        ("target=azure,fault=hang", "target: \"azure\" is nobody; write entra,"),
        ("vault=a,fault=hangs", "fault: \"hangs\" is none; write status,"),
        ("vault=a,fault=hang,status=500", "status: the fault takes no such thing; leave it out"),
        ("vault=a,fault=status", "status: the fault needs it; write status=…"),
        ("vault=a,fault=status,status=200", "status: 200 is no error; write one from 400 to 999"),
        ("vault=a,fault=status,status=5oo", "status: \"5oo\" will not do; write a whole number"),
        ("vault=a,fault=latency,delay=2", "delay: \"2\" will not do; write a duration such as 500ms"),
        ("vault=a,fault=hang,kind=secrets", "kind: \"secrets\" will not do; write one of token, "),
        ("vault=a,fault=hang,times=0", "times: 0 requests are none; write 1 or more"),
        ("vault=a,fault=limit,requests=1,per=0s", "per: a window lasts longer than nothing"),
        ("vault=a,fault=certificate,certificate=bad", "write expired, self-signed, "),
        (
            "vault=a,fault=refuse,kind=secret",
            "kind: the fault strikes before there is a request; leave it out",
        ),
        ("vault=a,fault=revoked,times=3", "times: the fault is one of all requests; leave it out"),
        ("target=entra,fault=revoked", "target: it is vaults that refuse revoked tokens; target them"),
        (
            "target=imds,fault=certificate,certificate=expired",
            "target: the metadata service is asked without TLS",
        ),
        ("target=imds,fault=clock-skew,skew=1m", "target: the clocks that matter are those of entra"),
        ("target=entra,fault=clock-skew,skew=9000years", "skew: it is too far; write at most 1000days"),
        ("vault=a,fault=hang,after=9000years", "after: it would never begin; write at most 1000days"),
        (
            "vault=a,fault=throttle,retry-after=500ms",
            "retry-after: 500ms cannot be said; write whole seconds",
        ),
        ("vault=a,hang", "\"hang\" is no KEY=VALUE; write fault=hang, say"),
        ("vault=a,fault=hang,fault=reset", "fault: it is there twice; leave one out"),
    ] {
        let error = refused(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let error = refused("fault=status,after=soon");
    for place in ["target: ", "status: ", "after: "] {
        assert!(error.contains(place), "{error}");
    }
}

#[test]
fn a_list_is_yaml_or_json_and_names_the_entry_of_a_mistake() {
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
    assert!(error.to_string().starts_with("no list of rules"), "{error}");
}
