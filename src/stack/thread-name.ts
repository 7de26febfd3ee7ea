/**
 * What the thread of the data path is called, for `top -H` and for doctor.          (control plane)
 */

/** At most 15 bytes. */
export const DATA_PATH_THREAD = 'bandstand data';
