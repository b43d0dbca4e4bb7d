//! What calls leave in the queue of spans.

use super::*;
use crate::text::hex;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn tracer(sampling: Sampling) -> (Tracer, mpsc::Receiver<Message>) {
    let (records, queue) = mpsc::channel(2);
    (Tracer(Arc::new(TracerState { records, counters: Arc::default(), sampling })), queue)
}

fn next(queue: &mut mpsc::Receiver<Message>) -> Box<CallSpans> {
    match queue.try_recv() {
        Ok(Message::Call(record)) => record,
        _ => panic!("a call"),
    }
}

#[test]
fn a_call_goes_on_the_trace_of_its_caller_and_the_child_on_that_of_the_call() {
    let (tracer, mut queue) = tracer(Sampling::default());
    let trace = tracer.begin(Some(PARENT), Some("a=1".to_owned())).expect("sampled");
    assert_eq!(trace.id(), "0af7651916cd43dd8448eb211c80319c");
    let child = trace.for_child();
    assert!(child.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && child.ends_with("-01"), "{child}");
    trace.begin_queue();
    trace.end_queue(None);
    trace.begin_child(false, 3);
    trace.end_child(None);
    trace.end("ok");
    trace.end("timed_out");
    let record = next(&mut queue);
    assert_eq!(record.parent, Some([0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]));
    assert!(child.contains(&hex(&record.child_id)) && record.child_id != record.id);
    assert_eq!((record.state.as_deref(), record.error), (Some("a=1"), None));
    assert_eq!(record.parts.iter().map(|part| part.name).collect::<Vec<_>>(), ["queue", ""]);
    assert!(record.parts.iter().all(|part| part.took.is_some() && part.error.is_none()));
    assert!(queue.try_recv().is_err(), "one end only");
}

#[test]
fn a_caller_decides_whether_it_is_traced_and_one_without_a_trace_gets_one() {
    let (tracer, mut queue) = tracer(Sampling::default());
    assert!(tracer.begin(Some(&PARENT.replace("-01", "-00")), None).is_none());
    let (one, two) = (tracer.begin(None, None), tracer.begin(Some("nonsense"), Some("a=1".to_owned())));
    assert_ne!(one.as_ref().expect("traced").id(), two.as_ref().expect("traced").id());
    one.as_ref().expect("traced").begin_child(true, 1);
    drop(one);
    let left = next(&mut queue);
    assert_eq!((left.error, left.parent), (Some("cancelled"), None));
    assert_eq!((left.parts[0].error, left.parts[0].took.is_some()), (Some("cancelled"), true));
    assert!(!two.as_ref().expect("traced").is_continued());
    drop(two);
    assert_eq!(next(&mut queue).state, None, "of no trace");
}

#[test]
fn a_record_stays_small_whatever_its_call_goes_through() {
    let (tracer, mut queue) = tracer(Sampling::default());
    let trace = tracer.begin(None, None).expect("traced");
    trace.name("tools/call", Some(&"ä".repeat(100_000)));
    trace.tell("gen_ai.tool.name", "first");
    trace.tell("gen_ai.tool.name", &"x".repeat(100_000));
    for _ in 0..1000 {
        trace.begin_queue();
        trace.end_queue(None);
        trace.begin_child(false, 1);
        trace.end_child(Some(ChildFailure { kind: "gone", code: Some(-1) }));
    }
    trace.end("gone");
    let record = next(&mut queue);
    assert_eq!((record.parts.len(), record.attributes.len()), (16, 2));
    let size = otlp::request(&[], &[*record]).len();
    assert!(size < 16 * 1024, "{size}");
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    let (tracer, queue) = tracer(Sampling::default());
    for _ in 0..5 {
        let trace = tracer.begin(None, None).expect("traced");
        trace.begin_child(false, 1);
        trace.end_child(Some(ChildFailure { kind: "timed_out", code: None }));
        trace.end("timed_out");
    }
    assert_eq!(tracer.spans(), (0, 6), "two spans of each call that was one too many");
    drop(queue);
}

#[test]
fn about_as_many_are_sampled_as_were_asked_for() {
    let of = |ratio: f64, by_parent: bool, parent: Option<&str>| {
        let (tracer, _queue) = tracer(Sampling { by_parent, ratio });
        (0..2000).filter(|_| tracer.begin(parent, None).is_some()).count()
    };
    assert_eq!((of(0.0, true, None), of(1.0, true, None), of(1.0, false, None)), (0, 2000, 2000));
    assert!((300..700).contains(&of(0.25, true, None)));
    // A trace is taken as a whole: all who sample by its id alone decide alike.
    assert_eq!((of(0.0, true, Some(PARENT)), of(0.0, false, Some(PARENT))), (2000, 0));
    assert_eq!((of(0.51, false, Some(PARENT)), of(0.52, false, Some(PARENT))), (0, 2000));
}
