// Hands a webhook to signpost through Kafka: node produce_kafka.mjs localhost:9092 https://example.com/hook '{"hello": "world"}'
import { randomUUID } from 'node:crypto';
import { Kafka, Partitioners, logLevel } from 'kafkajs';

const [brokers, url, payload] = process.argv.slice(2);
const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.ERROR });
const producer = kafka.producer({ idempotent: true, allowAutoTopicCreation: false, createPartitioner: Partitioners.DefaultPartitioner });
const { hostname, port, protocol } = new URL(url);
const headers = {
  'url': url,
  'id': `msg_${randomUUID()}`, // the same if you have to send it again
  'created-at': new Date().toISOString(),
  'header-X-Producer': 'kafkajs',
};
await producer.connect();
await producer.send({ // returns once all brokers that must have the message have it
  topic: `${process.env.SIGNPOST_PREFIX ?? 'signpost'}.ready`,
  messages: [{ key: `${hostname}:${port || { 'http:': 80, 'https:': 443 }[protocol]}`, value: payload, headers }],
});
await producer.disconnect();
