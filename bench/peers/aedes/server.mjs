// Aedes behind the WebSocket server that its documentation shows: node server.mjs PORT

import { createServer } from "node:http";
import { Aedes } from "aedes";
import { WebSocketServer, createWebSocketStream } from "ws";

const aedes = await Aedes.createBroker();
const server = createServer();
const sockets = new WebSocketServer({ server, handleProtocols: () => "mqtt" });
sockets.on("connection", (socket, request) => {
  aedes.handle(createWebSocketStream(socket), request);
});
server.listen(Number(process.argv[2]), "127.0.0.1");
