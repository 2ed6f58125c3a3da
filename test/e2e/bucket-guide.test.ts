/** The guide's walks on a directory that serves as bucket, and on an S3 server in this process. */
import { walkGuide } from "./guide.ts";
import { places } from "./place.ts";

walkGuide(places);
