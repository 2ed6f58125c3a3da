/** The account of what is kept for clients: whose it is, and who has to go. */
import { expect, test } from "bun:test";
import { Account, type Debtor } from "../../src/rpc/account.ts";

/** A client of an account, which notes with how many bytes it was cut off. */
class Client implements Debtor {
  readonly cuts: number[] = [];
  readonly #account: Account;
  readonly #onCut: (client: Client) => void;

  constructor(account: Account, onCut: (client: Client) => void = () => undefined) {
    this.#account = account;
    this.#onCut = onCut;
    account.join(this);
  }

  hold(bytes: number): void {
    this.#account.hold(this, bytes);
  }

  leave(): void {
    this.#account.leave(this);
  }

  cutOff(heldBytes: number): void {
    this.cuts.push(heldBytes);
    this.#onCut(this);
  }
}

test("as much as may be kept is kept, for one client or for many", () => {
  const account = new Account(100);
  const one = new Client(account);
  one.hold(100);
  one.hold(-60);
  const other = new Client(account);
  other.hold(60);
  expect([...one.cuts, ...other.cuts]).toEqual([]);
});

test("who keeps most has to go, whoever it is that asks for more", () => {
  const account = new Account(100);
  const [small, large, asking] = [new Client(account), new Client(account), new Client(account)];
  small.hold(20);
  large.hold(50);
  asking.hold(31);
  expect([small.cuts, large.cuts, asking.cuts]).toEqual([[], [50], []]);
});

test("who keeps most may be the one that asks: it goes with all that it has", () => {
  const account = new Account(100);
  const [small, asking] = [new Client(account), new Client(account)];
  small.hold(40);
  asking.hold(50);
  asking.hold(11);
  expect([small.cuts, asking.cuts]).toEqual([[], [61]]);
});

test("with each byte too many one client has to go, and only one", () => {
  const account = new Account(100);
  const clients = Array.from({ length: 10 }, () => new Client(account));
  for (const client of clients) client.hold(10);
  clients[9]?.hold(1);
  expect(clients.flatMap(({ cuts }) => cuts)).toEqual([11]);
});

test("nobody has to go for giving back", () => {
  const account = new Account(100);
  const [one, other] = [new Client(account), new Client(account)];
  one.hold(90);
  one.hold(-10);
  other.hold(20);
  other.hold(-1);
  expect([...one.cuts, ...other.cuts]).toEqual([]);
});

test("whoever leaves owes nothing: others may have it", () => {
  const account = new Account(100);
  for (let round = 0; round < 1000; round++) {
    const client = new Client(account);
    client.hold(100);
    client.leave();
    client.leave();
    expect(client.cuts).toEqual([]);
  }
});

test("whoever was cut off owes nothing from then on, whatever is still said of it", () => {
  const account = new Account(100);
  for (let round = 0; round < 1000; round++) {
    const client = new Client(account);
    client.hold(101);
    client.hold(50);
    client.hold(-151);
    client.leave();
    expect(client.cuts).toEqual([101]);
  }
  const honest = new Client(account);
  honest.hold(100);
  expect(honest.cuts).toEqual([]);
});

test("a client that gives back while it is cut off gives nothing back twice", () => {
  const account = new Account(100);
  for (let round = 0; round < 1000; round++) {
    const client: Client = new Client(account, () => {
      client.hold(-60);
      client.leave();
    });
    client.hold(60);
    client.hold(60);
    client.hold(-60);
  }
  const [one, other] = [new Client(account), new Client(account)];
  one.hold(60);
  other.hold(41);
  expect([one.cuts, other.cuts]).toEqual([[60], []]);
});

test("a client may be cut off by what another does while it is cut off", () => {
  const account = new Account(100);
  const third = new Client(account);
  const second = new Client(account);
  const first: Client = new Client(account, () => second.hold(80));
  third.hold(30);
  second.hold(20);
  first.hold(51);
  expect([first.cuts, second.cuts, third.cuts]).toEqual([[51], [100], []]);
  const late = new Client(account);
  late.hold(70);
  expect([late.cuts, third.cuts]).toEqual([[], []]);
});

test("a client that is being cut off is not cut off again", () => {
  const account = new Account(100);
  const second = new Client(account);
  const first: Client = new Client(account, () => second.hold(10));
  second.hold(45);
  first.hold(60);
  expect([first.cuts, second.cuts]).toEqual([[60], []]);
});

test("whoever has not joined, or has left, is not counted", () => {
  const account = new Account(100);
  const client = new Client(account);
  client.leave();
  client.hold(1000);
  const other = new Client(account);
  other.hold(100);
  expect([...client.cuts, ...other.cuts]).toEqual([]);
});
