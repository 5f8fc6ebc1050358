// Hands a webhook to signpost through RabbitMQ: node produce_rabbitmq.mjs amqp://localhost/ https://example.com/hook '{"hello": "world"}'
import { randomUUID } from 'node:crypto';
import amqp from 'amqplib';

const [broker, url, payload] = process.argv.slice(2);
const connection = await amqp.connect(broker);
const channel = await connection.createConfirmChannel();
channel.on('return', ({ fields }) => { throw new Error(`no queue ${fields.routingKey}: start signpost first`); });
channel.publish('', `${process.env.SIGNPOST_PREFIX ?? 'signpost'}.ready`, Buffer.from(payload), {
  mandatory: true,
  persistent: true,
  headers: {
    'url': url,
    'id': `msg_${randomUUID()}`, // the same if you have to send it again
    'created-at': new Date().toISOString(),
    'header-X-Producer': 'amqplib',
  },
});
await channel.waitForConfirms(); // the broker has the message
await connection.close();
