// What an independent client sees and does; prints one JSON object. Usage: node client.cjs ENDPOINT STORY
"use strict";
const {
  AttributeIds, ClientMonitoredItem, DataType, NodeClass, OPCUAClient, StatusCodes, TimestampsToReturn,
  UserTokenType, VariantArrayType, ClientSubscription,
} = require("node-opcua-client");

// The library reports on standard output; ours is for answers.
console.log = console.info = console.warn = console.error;

const [endpoint, story] = process.argv.slice(2);
const ANNA = { type: UserTokenType.UserName, userName: "anna", password: process.env.ANNA_PASSWORD || "anna-secret" };
const node = (id) => `ns=2;s=${id}`;
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

function connected() {
  return OPCUAClient.create({
    endpointMustExist: false,
    connectionStrategy: { initialDelay: 100, maxDelay: 500, maxRetry: 100 },
    requestedSessionTimeout: 60000,
  });
}

async function browse(session, id) {
  const result = await session.browse(id);
  return result.references.map((reference) => reference.browseName.name);
}

async function read(session, id) {
  const value = await session.read({ nodeId: node(id), attributeId: AttributeIds.Value });
  return { value: value.value.value, type: DataType[value.value.dataType], status: value.statusCode.name };
}

async function pay(session, requestId, minor, payee = "agv-7") {
  const text = (value) => ({ dataType: DataType.String, value });
  const result = await session.call({
    objectId: node("Accounts.facade-1"),
    methodId: node("Accounts.facade-1.Pay"),
    inputArguments: [
      text(requestId),
      { dataType: DataType.Int64, arrayType: VariantArrayType.Scalar, value: [0, minor] },
      text("SEK"), text(payee), text("from node"),
    ],
  });
  const [code, said, transfer] = (result.outputArguments || []).map((output) => output.value);
  return {
    status: result.statusCode.name, code, text: said, transfer,
    inputs: (result.inputArgumentResults || []).map((status) => status.name),
    diagnostics: (result.inputArgumentDiagnosticInfos || []).map((info) => info && info.additionalInfo),
  };
}

async function monitor(session, id, changed) {
  const subscription = ClientSubscription.create(session, {
    requestedPublishingInterval: 20, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 100, publishingEnabled: true, priority: 1,
  });
  const item = ClientMonitoredItem.create(
    subscription, { nodeId: node(id), attributeId: AttributeIds.Value },
    { samplingInterval: 0, discardOldest: true, queueSize: 10 }, TimestampsToReturn.Both);
  item.on("changed", (value) => changed(value.value.value));
}

function waitFor(condition) {
  return new Promise((resolve, reject) => {
    const started = Date.now();
    const timer = setInterval(() => {
      if (condition()) { clearInterval(timer); resolve(); }
      else if (Date.now() - started > 10000) { clearInterval(timer); reject(new Error("nothing came")); }
    }, 10);
  });
}

const stories = {
  async payments() {
    const client = connected();
    await client.connect(endpoint);
    const out = {};
    const anonymous = await client.createSession();
    out.accounts = await browse(anonymous, node("Accounts"));
    out.account = await browse(anonymous, node("Accounts.facade-1"));
    out.balance = await read(anonymous, "Accounts.facade-1.Balance");
    out.units = await read(anonymous, "Accounts.facade-1.BalanceUnits");
    const currency = await read(anonymous, "Accounts.facade-1.Balance.CurrencyUnit");
    out.currency = { code: currency.value.alphabeticCode, exponent: currency.value.exponent };
    const metre = await read(anonymous, "Machines.agv-7.Tags.odometer.EngineeringUnits");
    out.unit = { id: metre.value.unitId, symbol: metre.value.displayName.text };
    out.tag = await read(anonymous, "Machines.agv-7.Tags.odometer");
    out.anonymousPay = await pay(anonymous, "by-nobody", 100);
    await anonymous.close();

    const session = await client.createSession(ANNA);
    const balances = [];
    await monitor(session, "Accounts.agv-7.Balance", (value) => balances.push(value));
    await waitFor(() => balances.length === 1);
    out.first = await pay(session, "node-1", 1250);
    await waitFor(() => balances.length === 2);
    out.balances = balances;
    out.again = await pay(session, "node-1", 1250);
    out.other = await pay(session, "node-1", 9900);
    out.empty = await pay(session, "", 100);
    await session.close();
    out.badLogin = await client.createSession({ ...ANNA, password: "wrong" }).then(() => "let in", (e) => e.message);
    await client.disconnect();
    say(out);
  },

  // A running plant: the PLC moves a counter, its payment is seen; then a payment is asked for, again, and wrongly.
  async plant() {
    const client = connected();
    await client.connect(endpoint);
    const anonymous = await client.createSession();
    say({ accounts: await browse(anonymous, node("Accounts")), anonymousPay: await pay(anonymous, "by-nobody", 100) });
    await monitor(anonymous, "Accounts.customer.Balance", (value) => say({ customer: value }));
    await new Promise((resolve) => process.stdin.once("data", resolve));
    const session = await client.createSession(ANNA);
    say({ first: await pay(session, "node-1", 1250), again: await pay(session, "node-1", 1250),
      other: await pay(session, "node-1", 9900) });
    await session.close();
    await client.disconnect();
    process.stdin.destroy();
  },

  async restart() {
    const client = connected();
    await client.connect(endpoint);
    const session = await client.createSession();
    await monitor(session, "Accounts.agv-7.Balance", (value) => say({ balance: value }));
    await new Promise((resolve) => process.stdin.once("data", resolve));
    await client.disconnect();
    process.stdin.destroy();
  },
};

stories[story]().catch((error) => { console.error(error); process.exit(1); });
