import { IoAdapter } from "@nestjs/platform-socket.io";
import { useTrunkline } from "@trunkline/socket.io";
export class TrunklineAdapter extends IoAdapter {
    createIOServer(...options) {
        const io = super.createIOServer(...options);
        useTrunkline(io);
        return io;
    }
}
