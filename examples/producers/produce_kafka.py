"""Hands a webhook to signpost through Kafka: produce_kafka.py localhost:9092 https://example.com/hook '{"hello": "world"}'"""
import datetime, os, sys, urllib.parse, uuid

import confluent_kafka

brokers, url, payload = sys.argv[1:]
producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "partitioner": "murmur2_random"})
to, failures = urllib.parse.urlsplit(url), []
producer.produce(os.environ.get("SIGNPOST_PREFIX", "signpost") + ".ready", payload.encode(),
    key=f"{to.hostname}:{to.port or {'http': 80, 'https': 443}[to.scheme]}",
    headers={
        "url": url,
        "id": "msg_" + uuid.uuid4().hex,  # the same if you have to send it again
        "created-at": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "header-X-Producer": "confluent-kafka",
    }, on_delivery=lambda error, _: error and failures.append(error))
if producer.flush(30) or failures:
    sys.exit(f"not handed over: {failures or 'timed out'}")
