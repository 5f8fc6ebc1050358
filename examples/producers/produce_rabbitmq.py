"""Hands a webhook to signpost through RabbitMQ: produce_rabbitmq.py amqp://localhost/ https://example.com/hook '{"hello": "world"}'"""
import datetime, os, sys, uuid

import pika

broker, url, payload = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(broker))
channel = connection.channel()
channel.confirm_delivery()  # from now on basic_publish returns once the broker has the message, and raises if it hasn't
channel.basic_publish("", os.environ.get("SIGNPOST_PREFIX", "signpost") + ".ready", payload.encode(), mandatory=True,
    properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent, headers={
        "url": url,
        "id": "msg_" + uuid.uuid4().hex,  # the same if you have to send it again
        "created-at": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "header-X-Producer": "pika",
    }))
connection.close()
