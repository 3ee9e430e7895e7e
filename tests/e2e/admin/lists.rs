use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway};

/// Seven services, the odd ones tagged `odd`, all tagged `all`.
async fn seven() -> Gateway {
    let gateway = TestGateway::new().start().await;
    for number in 0..7 {
        let tags = if number % 2 == 1 { json!(["all", "odd"]) } else { json!(["all"]) };
        let service = json!({ "name": format!("s{number}"), "host": "a.test", "tags": tags });
        gateway.admin.create("/services", service).await;
    }
    gateway
}

fn count(list: &Value) -> usize {
    list["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn pages_follow_one_another_until_all_is_seen() {
    let gateway = seven().await;
    let (mut path, mut names, mut sizes) = ("/services?size=3".to_owned(), Vec::new(), Vec::new());
    loop {
        let page = gateway.admin.get(&path).await.expect(200).json();
        sizes.push(count(&page));
        names.extend(page["data"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            assert!(page.get("offset").is_none(), "the last page has no offset");
            break;
        };
        assert!(next.contains(page["offset"].as_str().unwrap()) && next.ends_with("size=3"), "{next}");
        path = next.to_owned();
    }
    names.sort();
    assert_eq!((sizes, names), (vec![3, 3, 1], (0..7).map(|n| format!("s{n}")).collect()));
}

#[tokio::test]
async fn an_empty_list_is_a_page() {
    let gateway = TestGateway::new().start().await;
    let page = gateway.admin.get("/routes").await.expect(200).json();
    assert_eq!(page, json!({ "data": [], "next": null }));
}

#[tokio::test]
async fn tags_filter_by_all_or_by_any() {
    let gateway = seven().await;
    for (tags, expected) in [("all", 7), ("odd", 3), ("all,odd", 3), ("none/odd", 3), ("none,odd", 0), ("none", 0)] {
        let page = gateway.admin.get(&format!("/services?tags={tags}")).await.expect(200).json();
        assert_eq!(count(&page), expected, "{tags}");
    }
    let page = gateway.admin.get("/services?tags=all&size=2").await.json();
    assert!(page["next"].as_str().unwrap().contains("tags=all"), "{}", page["next"]);
}

#[tokio::test]
async fn tags_are_listed_with_what_carries_them() {
    let gateway = seven().await;
    let listed = gateway.admin.get("/tags/odd").await.expect(200).json();
    assert_eq!(count(&listed), 3);
    assert_eq!((&listed["data"][0]["entity_name"], &listed["data"][0]["tag"]), (&json!("services"), &json!("odd")));
    assert_eq!(count(&gateway.admin.get("/tags?size=1000").await.json()), 10);
}

#[tokio::test]
async fn sizes_offsets_and_tags_that_make_no_sense_are_refused() {
    let gateway = TestGateway::new().start().await;
    let cases = [
        ("size=x", 9, "size must be a number"),
        ("size=0", 9, "size must be an integer between 1 and 1000"),
        ("size=1001", 9, "size must be an integer between 1 and 1000"),
        ("offset=%21%21", 7, "'!!' is not a valid offset: bad base64 encoding"),
        ("tags=a,b/c", 11, "invalid option (tags: invalid filter syntax)"),
        ("tags=", 11, "invalid option (tags: cannot be null)"),
    ];
    for (query, code, message) in cases {
        let refusal = gateway.admin.get(&format!("/services?{query}")).await.expect(400).json();
        assert_eq!((&refusal["code"], &refusal["message"]), (&json!(code), &json!(message)), "{query}");
    }
}

#[tokio::test]
async fn consumers_are_found_by_custom_id() {
    let gateway = TestGateway::new().start().await;
    let ann = gateway.admin.create("/consumers", json!({ "username": "ann", "custom_id": "1" })).await;
    let found = gateway.admin.get("/consumers?custom_id=1").await.expect(200).json();
    assert_eq!(found, json!({ "data": [ann], "next": null }));
    assert_eq!(gateway.admin.get("/consumers?custom_id=2").await.json()["data"], json!([]));
}
