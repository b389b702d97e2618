import { IoAdapter } from "@nestjs/platform-socket.io";
import { useTrunkline } from "@trunkline/socket.io";

export class TrunklineAdapter extends IoAdapter {
  override createIOServer(...options: Parameters<IoAdapter["createIOServer"]>) {
    const io = super.createIOServer(...options);
    useTrunkline(io);
    return io;
  }
}