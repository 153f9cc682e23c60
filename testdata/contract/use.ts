// A program that uses the generated types: it need not run, only compile.
import type { components, operations, paths } from './openapi';

type Sent = components['schemas']['Sent'];
type Deliveries = operations['listDeliveries']['responses'][200]['content']['application/json'];

export function furthest(list: Deliveries): string {
  return list.deliveries.map((d) => `${d.id}: ${d.proof} after ${d.ms ?? 'unknown'} ms`).join('\n');
}

export const message: paths['/admin/v1/messages']['post']['requestBody']['content']['application/json'] = {
  context: 1337,
  user: 'someone@example.com',
  name: 'ox:mail:new',
  args: [{ folder: 'default0/INBOX' }],
  confirm: true,
};

export function sockets(sent: Sent): number {
  return 'remote' in sent ? sent.local : 0;
}
